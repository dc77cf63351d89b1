"""One process at work: where it looks, what it says in trouble, what it leaves as it was.

That it performs jobs and stops as it is told is in test_runschwartz.py.
"""

import signal

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job
from django_schwartz.runner import Runner
from django_schwartz.worker import registry
from tests.waiting import until


@pytest.fixture
def performed():
    """The args of the jobs that Here performed."""
    return []


@pytest.fixture(autouse=True)
def _here(performed):
    @register
    class Here(Worker):
        def work(self, job):
            performed.append(job.arg)
            job.completed()


def run(*options):
    call_command("runschwartz", "--processes=0", "--until-done", "--no-reload", *options)


# Where it looks


def test_it_looks_only_in_the_databases_that_it_is_told(two_databases, performed):
    client = TheSchwartz()
    for alias in two_databases:
        client.dispatch_async("Here", alias, using=alias)

    run("--database", "postgresql")

    assert performed == ["postgresql"]


def test_it_looks_in_every_database_that_it_is_told(two_databases, performed):
    client = TheSchwartz()
    for alias in two_databases:
        client.dispatch_async("Here", alias, using=alias)

    run("--database", "postgresql", "--database", "sqlite")

    assert sorted(performed) == ["postgresql", "sqlite"]


def test_it_looks_in_all_queue_databases_where_it_is_told_none(two_databases, performed):
    client = TheSchwartz()
    for alias in two_databases:
        client.dispatch_async("Here", alias, using=alias)

    run()

    assert sorted(performed) == ["postgresql", "sqlite"]


def test_without_a_worker_it_says_how_to_have_one(database, monkeypatch):
    with monkeypatch.context() as patch:  # undone before the workers are forgotten
        patch.setattr(registry, "_workers", {})
        patch.setattr(registry, "finders", [])

        with pytest.raises(CommandError, match=r"^No worker is registered\. Put a Worker class un"):
            run()


# What it leaves as it was


def test_a_job_that_its_worker_made_nonsense_of_ends_no_runner(client, performed, caplog):
    @register
    class Nonsense(Worker):
        def work(self, job):
            job.grabs = "junk"

    handle = client.dispatch_async("Nonsense", priority=9)
    client.dispatch_async("Here", "after it")

    run()

    assert performed == ["after it"]
    assert handle.is_pending
    assert f"{handle} has no outcome: it comes back when its lease ends" in caplog.messages


def test_the_handlers_of_signals_are_put_back(client):
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]

    run()

    assert [signal.getsignal(number) for number in numbers] == before


def test_a_runner_that_was_stopped_before_it_began_performs_nothing(client, performed):
    client.can_do("Here")
    client.dispatch_async("Here")
    runner = Runner(client, delay=0)
    runner.stop()

    runner.run()

    assert performed == []
    assert runner.performed == 0
    assert Job.objects.get().grabs == 0


# Trouble


class Unlucky(TheSchwartz):
    """A client whose next looks at the queue end in these errors, and then a stop."""

    def find_next_job(self):
        if self.errors:
            raise self.errors.pop(0)
        self.stop()
        return super().find_next_job()


@pytest.fixture
def run_into(database, caplog):
    """Run into these errors, one a look; give the lines of the log."""

    def run_into(*errors):
        client = Unlucky()
        client.can_do("Here")
        client.errors = list(errors)
        runner = Runner(client, delay=0.001)
        client.stop = runner.stop
        runner.run()
        return [message for message in caplog.messages if "cannot go on" in message]

    return run_into


def test_an_error_of_the_database_is_logged_on_one_line_and_the_runner_goes_on(run_into):
    logged = run_into(DatabaseError("no column\n  grabs\x1b[0m"))

    assert logged == [r"cannot go on for now, trying again: DatabaseError: no column grabs\x1b[0m"]


def test_the_same_trouble_is_logged_once(run_into):
    logged = run_into(DatabaseError("a"), DatabaseError("a"), DatabaseError("a"))

    assert logged == ["cannot go on for now, trying again: DatabaseError: a"]


def test_another_trouble_is_logged_too(run_into):
    logged = run_into(DatabaseError("a"), DatabaseError("b"), DatabaseError("a"))

    assert [line.rpartition(" ")[2] for line in logged] == ["a", "b", "a"]


def test_an_error_that_is_not_the_databases_ends_the_runner(run_into):
    with pytest.raises(ZeroDivisionError):
        run_into(ZeroDivisionError())


def execute(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def test_a_table_that_lacks_a_column_gives_one_clear_line_and_a_retry(client, manage, database):
    handle = client.dispatch_async("Note")
    table = Job._meta.db_table
    execute(database, f"ALTER TABLE {table} RENAME COLUMN grabbed_by TO away")
    try:
        process = manage("runschwartz", "--until-done", "--delay", 0.05)
        line = next(line for line in process.stdout if "cannot go on" in line)
    finally:
        execute(database, f"ALTER TABLE {table} RENAME COLUMN away TO grabbed_by")
    until(lambda: not handle.is_pending)
    rest, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "grabbed_by" in line
    assert "cannot go on" not in rest
    assert "Traceback" not in rest
