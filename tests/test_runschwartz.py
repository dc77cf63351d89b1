"""`manage.py runschwartz`: a real process that performs jobs, and stops as it is told."""

import re
import signal
from functools import partial

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from django_schwartz import Worker, register
from django_schwartz.housekeeping import Housekeeping
from django_schwartz.models import Error, FuncMap, Job
from django_schwartz.runner import Runner
from tests.app.models import Trace
from tests.waiting import until


def run_to_end(process, seconds=30):
    output, _ = process.communicate(timeout=seconds)
    return output


@pytest.fixture
def slow_job(client, tmp_path):
    """Dispatch a job that makes a file when it begins, and then takes its time."""

    def dispatch(name, seconds):
        begun = tmp_path / name
        handle = client.dispatch_async("Slow", {"begun": str(begun), "seconds": seconds})
        return handle, begun

    return dispatch


def test_it_performs_what_is_due_and_ends_when_nothing_is(client, manage):
    handles = [client.dispatch_async("Note", number) for number in range(5)]
    later = client.dispatch_async(Job(funcname="Note", run_after=4_000_000_000))

    process = manage("runschwartz", "--until-done")
    output = run_to_end(process)

    assert process.returncode == 0, output
    assert [handle.exit_status for handle in handles] == [0, 0, 0, 0, 0]
    assert Trace.objects.count() == 5
    assert later.is_pending


def test_it_logs_one_line_a_job(client, manage):
    handle = client.dispatch_async("Note", "x")
    failing = client.dispatch_async("Raise", "two\nlines")

    output = run_to_end(manage("runschwartz", "--until-done"))

    lines = output.splitlines()
    [done] = [line for line in lines if str(handle) in line]
    [failed] = [line for line in lines if str(failing) in line]
    assert re.search(r"INFO Note \S+ completed in \d+\.\d{3} s$", done)
    assert failed.endswith(r"RuntimeError: two\nlines")
    assert "Traceback" not in output


def test_it_performs_only_the_workers_that_it_is_told(client, manage):
    note, slow = client.dispatch_async("Note"), client.dispatch_async("Raise")

    output = run_to_end(manage("runschwartz", "--worker", "Note", "--until-done"))

    assert not note.is_pending, output
    assert slow.is_pending


def test_it_ends_after_max_jobs(client, manage):
    for number in range(5):
        client.dispatch_async("Note", number)

    process = manage("runschwartz", "--processes", 0, "--max-jobs", 2)
    run_to_end(process)

    assert process.returncode == 0
    assert Job.objects.count() == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_job_finish(manage, slow_job, client, number):
    handle, begun = slow_job("first", 1)
    process = manage("runschwartz", "--threads", 1)
    until(begun.exists)
    waiting = client.dispatch_async("Note", "never begun")

    process.send_signal(number)
    output = run_to_end(process)

    assert process.returncode == 0, output
    assert handle.exit_status == 0
    assert waiting.job.grabbed_until is None
    assert waiting.failures == 0


def test_an_idle_worker_leaves_at_once(client, manage, database):
    process = manage("runschwartz", "--delay", 600)
    until(lambda: "performing" in process.stdout.readline())

    process.send_signal(signal.SIGTERM)
    run_to_end(process, seconds=5)

    assert process.returncode == 0


def test_a_second_signal_releases_the_running_job(manage, slow_job):
    handle, begun = slow_job("first", 600)
    process = manage("runschwartz")
    until(begun.exists)

    process.send_signal(signal.SIGTERM)
    until(lambda: "finishing what runs" in process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    output = run_to_end(process, seconds=10)

    assert process.returncode == 143, output
    assert handle.job.grabbed_until is None
    assert handle.failures == 0
    assert "Traceback" not in output


def test_what_was_grabbed_and_not_begun_is_given_back(client):
    handle = client.dispatch_async("Note")
    client.can_do("Note")
    runner = Runner(client, delay=1)
    find = client.find_next_job

    def find_and_be_told_to_stop():
        job = find()
        runner.stop()
        return job

    client.find_next_job = find_and_be_told_to_stop
    runner.run()

    assert runner.performed == 0
    assert handle.job.grabbed_until is None
    assert handle.failures == 0


def test_a_missing_table_gives_one_clear_line_and_a_retry(client, manage, database):
    handle = client.dispatch_async("Note")
    table, away = Job._meta.db_table, "job_away"
    execute(database, f"ALTER TABLE {table} RENAME TO {away}")
    try:
        process = manage("runschwartz", "--delay", 0.1)
        line = until(lambda: find_line(process, "cannot be used"))
    finally:
        execute(database, f"ALTER TABLE {away} RENAME TO {table}")
    until(lambda: not handle.is_pending)
    process.send_signal(signal.SIGTERM)
    rest = run_to_end(process)

    assert table in line
    assert "Traceback" not in rest
    assert "cannot be used" not in rest
    assert "answers again" in rest


def test_an_unreachable_database_gives_one_clear_line_and_a_retry(client, manage, database):
    no_such = "no_such_database"
    unreachable = {"sqlite": "/nowhere/at/all", "postgresql": no_such, "mysql": no_such}

    process = manage(
        "runschwartz",
        "--until-done",
        "--delay",
        0.1,
        DJANGO_SCHWARTZ_TEST_NAME=unreachable[database],
    )
    find_line(process, "cannot be used")
    process.send_signal(signal.SIGTERM)
    rest = run_to_end(process)

    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "cannot be used" not in rest


def find_line(process, text):
    """The next line of output with that text in it."""
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"the process ended without saying {text!r}")


def execute(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def test_jobs_that_nobody_can_do_are_counted(client, manage):
    for _ in range(3):
        client.dispatch_async("Unheard")

    output = run_to_end(manage("runschwartz", "--until-done"))

    assert "no worker here can do: 'Unheard' (3)" in output
    assert Job.objects.count() == 3


@pytest.fixture
def housekeeping(client):
    return Housekeeping(client.databases, is_over=lambda: False)


def test_of_many_functions_that_nobody_can_do_twenty_are_named(client, housekeeping, caplog):
    client.dispatch_jobs([Job(funcname=f"{'x' * 253}{number}") for number in range(10, 40)])

    housekeeping.keep()

    (line,) = [text for text in caplog.messages if "no worker here can do" in text]
    assert line.count("x" * 253) == 20
    assert line.endswith("' (1) and 10 more")


def test_of_many_functions_that_are_performed_twenty_are_named_at_the_start(client, caplog):
    workers = [type(f"Nth{number}", (Worker,), {}) for number in range(10, 40)]
    named = [f"--worker={register(worker).funcname}" for worker in workers]

    with caplog.at_level("INFO", "django_schwartz"):
        call_command("runschwartz", "--processes=0", "--until-done", *named)

    (line,) = [text for text in caplog.messages if text.startswith("performing ")]
    assert line.startswith("performing Nth10, Nth11, ")
    assert line.endswith(", Nth29 and 10 more")


def test_an_unreadable_arg_ends_its_job_with_a_message(client, manage):
    handle = client.dispatch_async("Note")
    Job.objects.update(arg=b'{"never": "closed"')

    run_to_end(manage("runschwartz", "--until-done"))

    assert not handle.is_pending
    assert handle.exit_status == 1
    assert "The arg cannot be read as JSON" in handle.failure_log[0]


def test_the_functions_of_the_workers_have_rows_before_any_dispatch(client, manage):
    FuncMap.objects.all().delete()

    run_to_end(manage("runschwartz", "--worker", "Note", "--until-done"))

    assert FuncMap.objects.filter(funcname="Note").exists()


def test_an_unknown_worker_is_refused_with_what_to_do(database):
    with pytest.raises(CommandError, match=r"No worker named 'Nobody' is registered: import its"):
        call_command("runschwartz", "--worker", "Nobody", "--no-reload")


def test_an_unknown_database_is_refused_with_what_there_is(database):
    with pytest.raises(CommandError, match=r"DATABASES has no 'nowhere'; it has .*sqlite"):
        call_command("runschwartz", "--database", "nowhere", "--no-reload")


@pytest.mark.parametrize(
    "option",
    [
        ("--max-jobs", "0"),
        ("--delay", "-1"),
        ("--delay", "1e300"),
        ("--processes", "-1"),
        ("--threads", "99999999"),
        ("--healthcheck", "/no/such/folder/file"),
    ],
)
def test_a_senseless_number_is_refused(database, option):
    with pytest.raises(CommandError, match=option[0]):
        call_command("runschwartz", *option)


def test_it_runs_inside_a_test_and_returns(client):
    @register
    class Here(Worker):
        def work(self, job):
            Error.objects.all().count()
            job.completed()

    handle = client.dispatch_async("Here")

    call_command("runschwartz", "--processes=0", "--until-done", "--worker", "Here")

    assert not handle.is_pending


def test_options_of_worker_processes_are_said_to_be_in_vain_without_any(client, caplog):
    arguments = ("--processes=0", "--until-done", "--worker=Note", "--threads=8", "--max-rss=300")

    call_command("runschwartz", *arguments)
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    assert line == (
        "--processes 0 performs one job after the other: no use for --threads, --max-rss"
    )


SOURCE = (
    "from django_schwartz import Worker, register\n"
    "@register\n"
    "class Versioned(Worker):\n"
    "    keep_exit_status_for = 60\n"
    "    def work(self, job): job.permanent_failure('', {})\n"
)


@pytest.fixture
def workers(tmp_path):
    """The file of an app's workers: a worker that fails with exit status 11."""
    package = tmp_path / "changing"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "workers.py").write_text(SOURCE.format(11))
    return package / "workers.py"


@pytest.fixture
def run_reloading(manage, workers):
    """Start `runschwartz` with that app, and restart it when the code changes."""
    return partial(
        manage,
        "runschwartz",
        "--reload",
        "--delay",
        0.1,
        PYTHONPATH=workers.parent.parent,
        DJANGO_SCHWARTZ_TEST_APP=workers.parent.name,
    )


def test_a_change_of_the_code_restarts_it_between_two_jobs(
    client, run_reloading, workers, slow_job
):
    process = run_reloading()
    first = client.dispatch_async("Versioned")
    until(lambda: first.exit_status == 11)
    running, begun = slow_job("slow", 2)
    until(begun.exists)

    workers.write_text(SOURCE.format(22) + "# longer\n")
    find_line(process, "starting anew")
    second = client.dispatch_async("Versioned")

    until(lambda: second.exit_status == 22)
    assert running.exit_status == 0
    process.send_signal(signal.SIGTERM)
    run_to_end(process)
    assert process.returncode == 0


def test_code_that_cannot_be_imported_leaves_it_at_work(client, run_reloading, workers):
    process = run_reloading()
    first = client.dispatch_async("Versioned")
    until(lambda: first.exit_status == 11)

    workers.write_text("import no_such_thing\n")
    find_line(process, "cannot start, waiting for a change: ModuleNotFoundError: ")
    meanwhile = client.dispatch_async("Versioned")
    until(lambda: meanwhile.exit_status == 11)
    workers.write_text(SOURCE.format(22))
    find_line(process, "starting anew")
    second = client.dispatch_async("Versioned")

    until(lambda: second.exit_status == 22)
    process.send_signal(signal.SIGTERM)
    run_to_end(process)
    assert process.returncode == 0
