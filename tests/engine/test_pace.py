"""Threads change places less often while small jobs flow, and as usual when one takes long."""

import sys

import pytest

from django_schwartz.engine.pace import FLOWING_SECONDS, Pace
from django_schwartz.models import Job
from tests.waiting import until


@pytest.fixture
def usual():
    seconds = sys.getswitchinterval()
    yield seconds
    sys.setswitchinterval(seconds)


def test_it_is_slower_while_jobs_flow(usual):
    pace = Pace()

    pace.set(flowing=True)
    flowing = sys.getswitchinterval()
    pace.set(flowing=False)

    assert (flowing, sys.getswitchinterval()) == pytest.approx((FLOWING_SECONDS, usual))


def test_a_project_that_is_slower_still_stays_so(usual):
    sys.setswitchinterval(0.5)
    pace = Pace()

    pace.set(flowing=True)

    assert sys.getswitchinterval() == pytest.approx(0.5)


def test_a_project_that_says_another_in_between_is_heard(usual):
    pace = Pace()
    pace.set(flowing=True)
    pace.set(flowing=False)
    sys.setswitchinterval(0.001)

    pace.set(flowing=False)

    assert sys.getswitchinterval() == pytest.approx(0.001)


@pytest.mark.only_on("sqlite", "postgresql")
def test_a_job_that_takes_long_behind_small_ones_finds_the_usual_interval(
    client, start, tmp_path, usual
):
    file = tmp_path / "intervals"
    small = [Job(funcname="Pace", arg=number) for number in range(6000)]

    client.dispatch_jobs([*small, Job(funcname="Pace", arg=str(file))])
    running = start()
    until(lambda: file.exists() and file.read_text(), 60)

    assert running.stop() == 0
    highest, last = map(float, file.read_text().split())
    assert (highest, last) == pytest.approx((FLOWING_SECONDS, usual))
