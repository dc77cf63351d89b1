"""Text that Perl wrote in Latin-1 is read, and spoils nothing that is read with it."""

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from django_schwartz.dialects import Lease
from django_schwartz.models import Error, FuncMap, Job
from django_schwartz.perl_text import PerlCharField, PerlTextField

pytestmark = pytest.mark.only_on("sqlite", "postgresql")

#: What Perl's DBD makes of its Latin-1: SQLite's stores the bytes, PostgreSQL's knows better.
LATIN_1 = {"sqlite": "CAST(x'636166e9' AS TEXT)", "postgresql": "'caf\u00e9'"}
READ = {"sqlite": "caf\\xe9", "postgresql": "caf\u00e9"}


@pytest.fixture
def read(database):
    """What is read of it."""
    return READ[database]


@pytest.fixture
def handle(client, database):
    """A job beside which another is, whose texts are Latin-1, as its function's name and error."""
    other = client.dispatch_async("Perl", uniqkey="a", coalesce="b", priority=1)
    Error.objects.create(jobid=other.jobid, func_id=other.job.funcid, message="c", error_time=1)
    for table, column in [
        ("job", "uniqkey"),
        ("job", "coalesce"),
        ("error", "message"),
        ("funcmap", "funcname"),
    ]:
        with connections[database].cursor() as cursor:
            where = "WHERE funcname = 'Perl'" if table == "funcmap" else ""
            cursor.execute(
                f"UPDATE django_schwartz_{table} SET {column} = {LATIN_1[database]} {where}"
            )
    FuncMap.objects.forget(using=database)
    return client.dispatch_async("Note")


def test_lists_show_it_escaped(handle, read):
    assert set(Job.objects.values_list("uniqkey", "coalesce")) == {(None, None), (read, read)}
    assert {job.uniqkey for job in Job.objects.all()} == {None, read}
    assert [error.message for error in Error.objects.all()] == [read]
    assert read in [row.funcname for row in FuncMap.objects.all()]


def test_a_grab_gives_it_escaped(dialect, handle, read):
    [funcid] = Job.objects.exclude(pk=handle.jobid).values_list("func_id", flat=True)
    jobs = Job.objects.due().of([funcid])

    [job] = jobs.grab(Lease(grabbed_by="me", seconds={funcid: 9}))

    assert (job.funcname, job.uniqkey, job.coalesce) == (read, read, read)
    assert job.failure_log == [read]


def test_the_jobs_beside_it_are_grabbed(client, dialect, handle):
    assert client.find_job_for_workers(["Note"]).handle == handle


@pytest.mark.parametrize("model", ["job", "error", "funcmap"])
def test_the_admin_lists_it(database, handle, read, model):
    browser = Client()
    browser.force_login(User.objects.create_superuser("alice"))

    page = browser.get(f"/admin/django_schwartz/{model}/")

    assert page.status_code == 200
    assert read in page.content.decode()


def test_a_query_within_another_compares_the_text_itself(client, database):
    client.dispatch_async("Note", uniqkey="k")
    keys = Job.objects.values("uniqkey")

    assert Job.objects.filter(uniqkey__in=keys).count() == 1


@pytest.mark.parametrize(
    ("field", "like"),
    [
        (PerlCharField(), "django.db.models.CharField"),
        (PerlTextField(), "django.db.models.TextField"),
    ],
)
def test_a_migration_knows_it_as_the_field_of_the_database(database, field, like):
    assert field.deconstruct()[1] == like
