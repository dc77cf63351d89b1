"""`manage.py schwartz_torture`: a short storm on each database, and faults that it has to find."""

import re

import pytest

from django_schwartz.models import Error, ExitStatus, FuncMap, Job

STORM_SECONDS = 300

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
    status, told = torture("--seconds", 20, "--jobs", 300, "--seed", 1)

    assert status == 0, told
    assert "Nothing is wrong." in told
    assert told.rstrip().endswith("seed 1")
    assert figure(told, "jobs dispatched") > 100
    assert figure(told, "SIGKILL of a worker") > 0


def test_nothing_is_left_of_a_storm(torture, client):
    client.dispatch_async("Note")

    torture("--seconds", 3, "--jobs", 20)

    assert [row.funcname for row in FuncMap.objects.filter(funcname__contains="torture")] == []
    assert [job.funcname for job in Job.objects.all()] == ["Note"]
    assert (Error.objects.count(), ExitStatus.objects.count()) == (0, 0)


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    ("plant", "found"), [("fence-off", "fence violations"), ("forget-crashed", "lost")]
)
def test_a_planted_fault_is_found(torture, plant, found):
    status, told = torture("--seconds", 30, "--jobs", 600, "--seed", 3, "--plant", plant)

    assert status == 1
    assert figure(told, found) > 0


def test_an_unknown_database_is_told_of(manage):
    process = manage("schwartz_torture", "--database", "elsewhere")

    told, _ = process.communicate(timeout=60)

    assert "DATABASES has no 'elsewhere'" in told
