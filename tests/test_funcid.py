"""Jobs know the number and the name of their function. After t/funcid.t."""

import threading
import unittest
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test import TestCase

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from tests.rows import statements
from tests.threads import in_threads


def names():
    """The names of all functions that have a row, but for those of the registered workers."""
    rows = FuncMap.objects.filter(funcname__startswith="feed").order_by("funcname")
    return list(rows.values_list("funcname", flat=True))


# Number and name


def test_a_dispatched_job_has_the_number_of_its_function(client, dialect):
    job = Job(funcname="feedmajor", arg={"scoops": 2, "with": ["cheese", "love"]})

    client.dispatch_async(job)

    assert job.funcid == FuncMap.objects.get(funcname="feedmajor").funcid
    assert job.funcname == "feedmajor"


def test_a_job_keeps_its_function_through_a_round_trip(client, dialect):
    handle = client.dispatch_async(Job(funcname="feedmajor", jobid=41))

    job = handle.job

    assert job.jobid == 41
    assert job.funcname == "feedmajor"
    assert job.funcid == FuncMap.objects.get(funcname="feedmajor").funcid


def test_a_grabbed_job_knows_its_function(client, dialect):
    client.dispatch_async("Note")

    job = client.find_job_for_workers(["Note"])

    assert job.funcname == "Note"
    assert job.funcid == FuncMap.objects.get(funcname="Note").funcid


def test_jobs_of_one_function_have_one_number(client):
    one, other = client.dispatch_async("feedmajor"), client.dispatch_async("feedmajor")

    assert one.job.funcid == other.job.funcid
    assert names() == ["feedmajor"]


def test_jobs_of_different_functions_have_different_numbers(client):
    one, other = client.dispatch_async("feedmajor"), client.dispatch_async("FeedMajor")

    assert one.job.funcid != other.job.funcid


def test_a_job_may_be_made_with_the_number_of_its_function(database):
    func = FuncMap.objects.create(funcname="feedmajor")

    job = Job(funcid=func.funcid)

    assert job.funcname == "feedmajor"


def test_the_name_follows_when_the_number_is_changed(client):
    job = client.dispatch_async("feedmajor").job
    other = client.dispatch_async("feeddog").job
    assert job.funcname == "feedmajor"

    job.funcid = other.funcid

    assert job.funcname == "feeddog"


@pytest.mark.parametrize(
    "funcname", ["My::Worker", "app.tasks.send-mail", "füttere den 🐘", "x" * 255]
)
def test_a_funcname_may_be_any_text_of_255_characters(client, dialect, funcname):
    handle = client.dispatch_async(funcname)

    assert handle.job.funcname == funcname


def test_errors_and_exit_statuses_know_their_function_too(client):
    @register
    class Feed(Worker):
        keep_exit_status_for = 60

        def work(self, job):
            job.failed("no food")

    client.can_do(Feed)
    client.dispatch_async("Feed")

    client.work_once()

    funcid = FuncMap.objects.get(funcname="Feed").funcid
    assert (Error.objects.get().func_id, Error.objects.get().funcname) == (funcid, "Feed")
    assert (ExitStatus.objects.get().func_id, ExitStatus.objects.get().funcname) == (funcid, "Feed")


# When a row is made, and when it is read


def test_asking_makes_no_function(client):
    client.find_job_for_workers(["feedmajor"])
    client.find_job_with_coalescing_value("feedmajor", "key")
    client.find_job_with_coalescing_prefix("feedmajor", "k")
    client.list_jobs("feedmajor")

    assert names() == []


def test_an_ability_makes_no_function(client):
    @register
    class FeedMajor(Worker):
        funcname = "feedmajor"

    client.can_do(FeedMajor)
    client.work_once()

    assert names() == []


def test_a_function_is_looked_up_once(client, database):
    client.dispatch_async("feedmajor")

    with statements(database) as sent:
        client.dispatch_async("feedmajor")
        TheSchwartz().list_jobs("feedmajor")

    assert sent == ["INSERT", "SELECT"]


def test_a_function_without_a_row_is_looked_for_again(client):
    @register
    class FeedMajor(Worker):
        funcname = "feedmajor"

    before = client.find_job_for_workers([FeedMajor])
    in_threads(lambda: client.dispatch_async("feedmajor"))

    assert before is None
    assert client.find_job_for_workers([FeedMajor]) is not None


def test_the_name_of_a_function_that_another_process_made_is_read_once(client, database):
    client.dispatch_async("feedmajor")
    made_elsewhere = FuncMap.objects.create(funcname="feeddog")

    with statements(database) as sent:
        first = FuncMap.objects.name_of(made_elsewhere.funcid, using=database)
        second = FuncMap.objects.name_of(made_elsewhere.funcid, using=database)

    assert (first, second) == ("feeddog", "feeddog")
    assert sent == ["SELECT"]


def test_a_number_that_no_function_has_is_told_as_it_is(database):
    assert FuncMap.objects.name_of(2_000_000_000, using=database) == "funcid 2000000000"


def test_migrate_makes_the_functions_of_all_registered_workers(database):
    FuncMap.objects.all().delete()

    call_command("migrate", database=database, verbosity=0)

    assert {"Note", "Slow", "Crash", "Raise"} <= set(
        FuncMap.objects.values_list("funcname", flat=True)
    )


def test_a_worker_that_starts_makes_the_functions_of_its_abilities(client):
    @register
    class FeedMajor(Worker):
        funcname = "feedmajor"

    client.can_do(FeedMajor)

    client.make_functions()

    assert names() == ["feedmajor"]


def test_an_emptied_table_is_noticed_when_migrate_says_so(client, database):
    client.dispatch_async("feedmajor")
    Job.objects.all().delete()

    call_command("flush", database=database, interactive=False, verbosity=0)
    handle = client.dispatch_async("feedmajor")

    assert handle.job.funcname == "feedmajor"
    assert names() == ["feedmajor"]


# A row that is rolled back


def roll_back(database, call):
    with transaction.atomic(using=database):
        call()
        transaction.set_rollback(True, using=database)


def dispatch_new_functions(client):
    """Dispatch a job of a function that takes the number a forgotten one had, and one of that."""
    return client.dispatch_async("feedcat"), client.dispatch_async("feedmajor")


@pytest.fixture
def reuse_numbers(database):
    """Give numbers of functions again when their rows are gone, as some databases may."""
    free = max(FuncMap.objects.values_list("funcid", flat=True)) + 1
    restart = {
        "sqlite": "DELETE FROM sqlite_sequence WHERE name = 'django_schwartz_funcmap'",
        "postgresql": f"ALTER SEQUENCE django_schwartz_funcmap_funcid_seq RESTART WITH {free}",
        "mysql": f"ALTER TABLE django_schwartz_funcmap AUTO_INCREMENT = {free}",
    }

    def reuse():
        with connections[database].cursor() as cursor:
            cursor.execute(restart[database])

    return reuse


@pytest.mark.parametrize(
    "dispatch",
    [
        lambda client: client.dispatch_async("feedmajor"),
        lambda client: client.dispatch_jobs([Job(funcname="feedmajor") for _ in range(2)]),
        lambda client: client.lookup_job(client.dispatch_async("feedmajor")).replace_with(
            Job(funcname="feedmajor")
        ),
        lambda client: client.list_jobs("feedmajor") or client.dispatch_async("feedmajor"),
    ],
    ids=["one", "many", "replace_with", "after a look"],
)
def test_a_function_that_was_rolled_back_is_made_anew(client, database, reuse_numbers, dispatch):
    roll_back(database, lambda: dispatch(client))
    reuse_numbers()

    cat, major = dispatch_new_functions(client)

    assert cat.job.funcname == "feedcat"
    assert major.job.funcname == "feedmajor"
    assert names() == ["feedcat", "feedmajor"]


def test_a_function_rolled_back_to_a_savepoint_is_made_anew(client, database, reuse_numbers):
    with transaction.atomic(using=database):
        roll_back(database, lambda: client.dispatch_async("feedmajor"))
        reuse_numbers()

        cat, major = dispatch_new_functions(client)

    assert cat.job.funcname == "feedcat"
    assert major.job.funcname == "feedmajor"


def test_a_function_is_kept_when_only_a_later_savepoint_is_rolled_back(client, database):
    with transaction.atomic(using=database):
        client.dispatch_async("feedmajor")
        roll_back(database, lambda: client.dispatch_async("feedmajor"))

        with statements(database) as sent:
            client.dispatch_async("feedmajor")

    assert sent == ["INSERT"]


def test_a_function_made_in_a_transaction_is_kept_after_its_commit(client, database):
    with transaction.atomic(using=database):
        client.dispatch_async("feedmajor")

    with statements(database) as sent:
        client.dispatch_async("feedmajor")

    assert sent == ["INSERT"]


def test_a_function_of_an_open_transaction_is_not_believed_by_other_threads(two_databases):
    client = TheSchwartz(["postgresql"])
    begun, done = threading.Event(), threading.Event()

    @transaction.atomic(using="postgresql")
    def dispatch_and_roll_back():
        client.dispatch_async("feedmajor")
        begun.set()
        done.wait(20)
        transaction.set_rollback(True, using="postgresql")

    def look():
        begun.wait(20)
        found = FuncMap.objects.find(["feedmajor"], using="postgresql")
        done.set()
        return found

    _, found = in_threads(dispatch_and_roll_back, look)

    assert found == {}


@pytest.mark.parametrize("captures", [False, True], ids=["plain", "capturing on_commit"])
def test_a_function_made_in_a_test_case_is_gone_after_it(client, database, reuse_numbers, captures):
    class DispatchInTestCase(TestCase):
        databases = [database]

        def test_dispatch(self):
            if captures:
                with self.captureOnCommitCallbacks(using=database, execute=True):
                    client.dispatch_async("feedmajor")
            client.dispatch_async("feedmajor")

    result = unittest.TestResult()
    unittest.TestSuite([DispatchInTestCase("test_dispatch")]).run(result)
    reuse_numbers()

    cat, major = dispatch_new_functions(client)

    assert (result.testsRun, result.failures, result.errors) == (1, [], [])
    assert cat.job.funcname == "feedcat"
    assert major.job.funcname == "feedmajor"


# Races


def test_clients_that_make_the_same_functions_at_once_agree(database):
    start = threading.Barrier(4, timeout=20)

    def dispatch_five():
        client = TheSchwartz()
        start.wait()
        return [client.dispatch_async(f"feed{n}") for n in range(5)]

    handles = in_threads(*[dispatch_five] * 4)

    assert names() == ["feed0", "feed1", "feed2", "feed3", "feed4"]
    assert Job.objects.count() == 20
    assert [[handle.job.funcname for handle in row] for row in handles] == [names()] * 4


@contextmanager
def after_the_look_for_a_function(alias, call):
    """Call when this thread has read the table of functions, the first time, and not written it."""
    pending = [call]

    def wrapper(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if pending and sql.startswith("SELECT") and "funcmap" in sql:
            pending.pop()()
        return result

    with connections[alias].execute_wrapper(wrapper):
        yield
    assert not pending, "no function was looked for"


def make_elsewhere(funcname, alias):
    in_threads(lambda: FuncMap.objects.using(alias).create(funcname=funcname))


def test_a_client_that_loses_the_race_for_a_function_takes_the_winners(client, database):
    with after_the_look_for_a_function(database, lambda: make_elsewhere("feedmajor", database)):
        handle = client.dispatch_async("feedmajor")

    assert handle.job.funcname == "feedmajor"
    assert names() == ["feedmajor"]


def test_losing_the_race_leaves_the_callers_transaction_usable(two_databases):
    client = TheSchwartz(["postgresql"])

    with (
        after_the_look_for_a_function(
            "postgresql", lambda: make_elsewhere("feedmajor", "postgresql")
        ),
        transaction.atomic(using="postgresql"),
    ):
        handles = client.dispatch_jobs([Job(funcname="feedmajor"), Job(funcname="feedmajor")])

    assert [handle.job.funcname for handle in handles] == ["feedmajor", "feedmajor"]
