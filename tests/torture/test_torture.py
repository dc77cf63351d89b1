"""`manage.py schwartz_torture`: a short storm on each database, and faults that it has to find."""

import re
import signal

import pytest
from django.core.management import CommandError, call_command

from django_schwartz.models import Error, ExitStatus, FuncMap, Job, WorkerProcess
from django_schwartz.torture.hosts import library_of_wrong_clocks
from tests.processes import descendants_of, is_alive
from tests.waiting import until

STORM_SECONDS = 300
INTERRUPTIBLE = """
import signal, sys
from django.core.management import execute_from_command_line
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
execute_from_command_line(sys.argv)
"""

pytestmark = pytest.mark.timeout(STORM_SECONDS + 10)


@pytest.fixture
def torture(manage, database):
    """Run the command to its end, and give its exit status and what it told."""

    def run(*arguments):
        process = manage("schwartz_torture", "--database", database, *arguments)
        told, _ = process.communicate(timeout=STORM_SECONDS)
        return process.returncode, told

    return run


def figure(told, what):
    """The number in the line of that name."""
    return int(re.search(rf"^ *{re.escape(what)} +(\d+)$", told, re.M)[1])


def test_a_storm_loses_nothing(torture):
    # Leases that outlast what a machine with other things to do keeps them waiting.
    status, told = torture("--seconds", 20, "--jobs", 300, "--seed", 1, "--lease-seconds", 10)

    assert status == 0, told
    assert "Nothing is wrong." in told
    assert told.rstrip().endswith("seed 1")
    assert figure(told, "jobs dispatched") > 100
    assert figure(told, "SIGKILL of a worker") > 0


@pytest.mark.only_on("postgresql")
@pytest.mark.skipif(library_of_wrong_clocks() is None, reason="no libfaketime")
@pytest.mark.parametrize("skew", [60, -3600])
def test_hosts_whose_clocks_are_wrong_lose_nothing_either(torture, skew):
    status, told = torture("--seconds", 15, "--jobs", 300, "--seed", 11, "--skew", skew)

    assert status == 0, told


def test_nothing_is_left_of_a_storm(torture, client):
    client.dispatch_async("Note")

    torture("--seconds", 3, "--jobs", 20)

    assert [row.funcname for row in FuncMap.objects.filter(funcname__contains="torture")] == []
    assert [job.funcname for job in Job.objects.all()] == ["Note"]
    assert (Error.objects.count(), ExitStatus.objects.count()) == (0, 0)


def test_a_storm_that_is_interrupted_says_so_in_one_line_and_leaves_nothing(
    manage, database, tmp_path
):
    process = manage(
        "schwartz_torture",
        f"--database={database}",
        "--pause=60",  # what a killed supervisor leaves behind ends by itself, and later
        program=("-c", INTERRUPTIBLE),
        TMPDIR=str(tmp_path),
    )
    until(lambda: Job.objects.exists() and WorkerProcess.objects.exists(), 30)
    hosts = descendants_of(process.pid)

    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=STORM_SECONDS)

    assert process.returncode == 130
    assert told.partition("seed ")[2].splitlines()[1:] == ["Interrupted: nothing is shown."]
    until(lambda: not any(map(is_alive, hosts)), 10)
    for model in (Job, Error, ExitStatus, WorkerProcess):
        assert not model.objects.exists()
    assert not FuncMap.objects.filter(funcname__contains="torture").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    ("plant", "found"), [("fence-off", "fence violations"), ("forget-crashed", "lost")]
)
def test_a_planted_fault_is_found(torture, plant, found):
    status, told = torture("--seconds", 30, "--jobs", 600, "--seed", 3, "--plant", plant)

    assert status == 1
    assert figure(told, found) > 0


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--seconds", "-3", "--seconds: -3 is not more than 0"),
        ("--seconds", "0", "--seconds: 0 is not more than 0"),
        ("--seconds", "nan", "--seconds: nan is not more than 0"),
        ("--seconds", "inf", "--seconds: inf is not more than 0"),
        ("--jobs", "-1", "--jobs: -1 is not more than 0"),
        ("--jobs", "0", "--jobs: 0 is not more than 0"),
        ("--hosts", "0", "--hosts: 0 is not between 1 and 1000"),
        ("--processes", "0", "--processes: 0 is not between 1 and 1000"),
        ("--threads", "0", "--threads: 0 is not between 1 and 1000"),
        ("--pause", "-1", "--pause: -1 is not more than 0"),
        ("--lease-seconds", "2", "--lease-seconds: 2 is not between 3 and 1000"),
        ("--drain-seconds", "inf", "--drain-seconds: inf is not more than 0"),
        ("--restart-command", "no-such-program -x", "there is no program 'no-such-program'"),
        ("--restart-command", "echo 'half", "cannot be read: No closing quotation"),
        ("--database", "elsewhere", "DATABASES has no 'elsewhere'; it has .*sqlite"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(database, option, value, told):
    with pytest.raises(CommandError, match=told):
        call_command("schwartz_torture", f"{option}={value}")


@pytest.mark.only_on("sqlite")
def test_wrong_clocks_need_a_second_host(database):
    with pytest.raises(CommandError, match="give --hosts 2 or more"):
        call_command("schwartz_torture", "--skew=60", "--hosts=1")


@pytest.mark.only_on("sqlite")
def test_settings_that_no_module_holds_are_refused(database, monkeypatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")

    with pytest.raises(CommandError, match="name that in DJANGO_SETTINGS_MODULE"):
        call_command("schwartz_torture")


def test_a_database_that_is_away_is_told_of(dead_database):
    with pytest.raises(CommandError, match=r"'dead' cannot be used: "):
        call_command("schwartz_torture", "--database=dead")


@pytest.mark.only_on("sqlite")
def test_a_database_that_lacks_migrations_is_told_of(add_database, tmp_path):
    add_database("empty", NAME=str(tmp_path / "empty.sqlite3"))

    with pytest.raises(CommandError, match=r"run `manage.py migrate --database empty`"):
        call_command("schwartz_torture", "--database=empty")


@pytest.mark.only_on("sqlite")
def test_a_restart_that_fails_is_told_of(torture):
    status, told = torture("--seconds", 15, "--restart-command", "false")

    assert status == 1
    assert "CommandError: false ended with exit code 1: see " in told
    assert "Traceback" not in told


@pytest.mark.only_on("sqlite")
def test_a_storm_without_a_fault_shows_nothing(torture):
    status, told = torture("--seconds", 2, "--jobs", 10, "--pause", 9, "--seed", 2)

    assert status == 1, told
    assert "NOTHING IS SHOWN: there was no fault." in told
    assert "Nothing is wrong." not in told
