"""A handle outlives its job, and text can stand for it. After t/api.t."""

import pytest
from django.apps import apps

from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import ServerTime
from django_schwartz.exceptions import InvalidHandle
from django_schwartz.models import FuncMap, Job


@pytest.fixture
def handle(client):
    """The handle of a job that waits."""
    return client.dispatch_async("feedmajor", {"scoops": 2, "with": ["cheese", "love"]})


def test_a_handle_is_a_text_that_names_the_database_and_the_number(client, database):
    handle = client.dispatch_async(Job(funcname="feedmajor", jobid=42))

    assert str(handle) == f"{database}-42"


def test_a_handle_can_be_made_of_its_text(client, handle):
    again = client.handle_from_string(str(handle))

    assert again == handle
    assert again.is_pending
    assert again.exit_status is None
    assert again.job.funcname == "feedmajor"


@pytest.mark.parametrize(
    "text", ["", "42", "sqlite", "sqlite-", "sqlite-x", "sqlite--1", "sqlite-٤٢", "-42", None]
)
def test_a_text_that_is_no_handle_is_refused(client, text):
    with pytest.raises(InvalidHandle, match=r"handle|database"):
        client.handle_from_string(text)


def test_a_handle_of_an_unknown_database_is_refused(client):
    with pytest.raises(InvalidHandle, match="DATABASES has no '6a6a6a"):
        client.lookup_job("6a" * 16 + "-666")


def test_a_handle_of_a_database_that_is_not_the_clients_is_refused(two_databases):
    client = TheSchwartz(["postgresql"])

    with pytest.raises(InvalidHandle, match="not among this client's"):
        client.lookup_job("sqlite-1")


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5000], ids=len)
def test_a_number_that_no_job_can_have_makes_no_handle(client, database, number):
    with pytest.raises(InvalidHandle, match="no job handle"):
        client.lookup_job(f"{database}-{number}")


def test_a_handle_is_asked_where_a_test_leaves_the_app_out(handle):
    apps.set_available_apps([])
    try:
        assert handle.is_pending
    finally:
        apps.unset_available_apps()


def test_a_refused_handle_is_a_value_error(client):
    with pytest.raises(ValueError, match="no job handle"):
        client.lookup_job("nonsense")


def test_lookup_job_finds_the_job_of_a_handle(client):
    handle = client.dispatch_async("feedmajor", "gruel that's longer than 11 bytes, for sure!")

    job = client.lookup_job(str(handle))

    assert isinstance(job, Job)
    assert job.arg == "gruel that's longer than 11 bytes, for sure!"
    assert job.handle == handle


def test_lookup_job_finds_nothing_when_the_job_is_gone(client, handle):
    client.lookup_job(handle).completed()

    assert client.lookup_job(handle) is None
    assert handle.job is None
    assert not handle.is_pending


def test_lookup_job_tells_a_function_that_another_process_was_first_to_use(client):
    client.dispatch_async("feedmajor")
    unheard_of = FuncMap.objects.create(funcname="feedcat")
    stored = Job.objects.create(func=unheard_of, run_after=ServerTime())

    job = client.lookup_job(f"{stored.alias}-{stored.pk}")

    assert job.funcname == "feedcat"
