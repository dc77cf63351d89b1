"""One job is grabbed and performed by its handle. After t/grab_and_work_on.t."""

import pytest

from django_schwartz import Worker, register
from django_schwartz.exceptions import InvalidHandle, UnknownFunction
from django_schwartz.fields import unix_seconds
from django_schwartz.models import Error, Job
from tests.rows import lease_elsewhere, row_of


@pytest.fixture
def worked():
    """The jobs that Greet was asked to perform."""
    return []


@pytest.fixture(autouse=True)
def _greet(worked):
    @register
    class Greet(Worker):
        grab_for = 600

        def work(self, job):
            worked.append(job)
            job.completed()


def test_a_free_job_is_grabbed_and_performed(client, dialect, worked):
    handle = client.dispatch_async("Greet", "world")

    performed = client.grab_and_work_on(handle)

    assert performed is True
    assert [job.arg for job in worked] == ["world"]
    assert not handle.is_pending


def test_the_text_of_a_handle_will_do(client):
    handle = client.dispatch_async("Greet")

    assert client.grab_and_work_on(str(handle)) is True


def test_a_job_that_another_holds_is_refused_and_left_alone(client, dialect, worked):
    handle = client.dispatch_async("Greet")
    lease_elsewhere(handle)
    before = row_of(handle)

    performed = client.grab_and_work_on(handle)

    assert performed is False
    assert worked == []
    assert row_of(handle) == before
    assert not Error.objects.exists()


def test_the_job_is_held_while_it_is_performed(client, dialect):
    seen = []

    @register
    class Look(Worker):
        grab_for = 600

        def work(self, job):
            lease = unix_seconds(Job.objects.get(pk=job.pk).grabbed_until)
            seen.append((lease > client.get_server_time(), client.grab_and_work_on(job.handle)))
            job.completed()

    client.grab_and_work_on(client.dispatch_async("Look"))

    assert seen == [(True, False)]


def test_a_job_that_is_gone_is_refused(client, worked):
    handle = client.dispatch_async("Greet")
    client.grab_and_work_on(handle)

    again = client.grab_and_work_on(handle)

    assert again is False
    assert len(worked) == 1


def test_a_job_is_performed_before_its_time(client, dialect, worked):
    handle = client.dispatch_async("Greet", run_after=client.get_server_time() + 3600)

    performed = client.grab_and_work_on(handle)

    assert performed is True
    assert len(worked) == 1


def test_abilities_do_not_matter_and_stay_as_they_are(client, worked):
    @register
    class Other(Worker):
        pass

    client.can_do("Other")
    handle = client.dispatch_async("Greet")

    performed = client.grab_and_work_on(handle)

    assert performed is True
    assert client.current_abilities == ["Other"]


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_a_lost_race_is_a_refusal(client, dialect, monkeypatch, worked):
    handle = client.dispatch_async("Greet")
    monkeypatch.setattr(dialect, "after_select", lambda: lease_elsewhere(handle))

    performed = client.grab_and_work_on(handle)

    assert performed is False
    assert worked == []
    assert row_of(handle)["grabbed_by"] == "elsewhere:1:1"


def test_a_job_whose_worker_is_not_registered_is_left_alone(client):
    handle = client.dispatch_async("Nobody")
    before = row_of(handle)

    with pytest.raises(UnknownFunction, match="'Nobody'"):
        client.grab_and_work_on(handle)

    assert row_of(handle) == before


def test_a_handle_of_a_database_that_is_not_the_clients_is_refused(client):
    with pytest.raises(InvalidHandle, match="elsewhere"):
        client.grab_and_work_on("elsewhere-1")
