"""A lane grabs for who is idle, and ahead only as far as is begun soon: nothing is hoarded."""

import pytest

from django_schwartz.engine.lane import FAR_AHEAD, HOARD_SECONDS, Lane
from django_schwartz.models import Job


class Crew:
    """Four, who begin when the test says so."""

    size = 4

    def __init__(self):
        self.idle = 4
        self.jobs = []

    @property
    def waiting(self):
        return len(self.jobs)

    def put(self, jobs):
        self.jobs += jobs
        self.begin(min(self.idle, len(self.jobs)))

    def begin(self, number):
        del self.jobs[:number]
        self.idle -= number

    def finish(self, number):
        self.idle += number
        self.begin(min(self.idle, len(self.jobs)))

    def take_back(self):
        taken, self.jobs = self.jobs, []
        return taken


class Queue:
    """An endless one, of args so large."""

    arg = b"{}"
    was_answered = True

    def __init__(self):
        self.limits = []

    def poll(self, limit):
        self.limits.append(limit)
        return [Job(funcname="Any", arg=self.arg) for _ in range(limit)]


@pytest.fixture
def now():
    return [1000.0]


@pytest.fixture
def crew():
    return Crew()


@pytest.fixture
def queue():
    return Queue()


@pytest.fixture
def lane(queue, crew, now):
    return Lane(queue, crew, clock=lambda: now[0])


def work(lane, crew, now, *, seconds, at_most=10_000):
    """Have all that was grabbed performed within so many seconds, then fill."""
    now[0] += seconds
    while crew.waiting or crew.idle < crew.size:
        crew.finish(crew.size - crew.idle)
    return lane.fill(at_most)


def work_often(lane, crew, now, *, seconds):
    """Do that until it grabs no further ahead; tell how far that is."""
    for _ in range(20):
        work(lane, crew, now, seconds=seconds)
    return crew.waiting


def begin_a_quarter(lane, crew, now, *, seconds):
    """Have a quarter of what waits begun within so many seconds, then fill; and so on."""
    for _ in range(20):
        now[0] += seconds
        for _ in range(crew.waiting // 4 + 1):
            crew.finish(1)
        lane.fill(10_000)


def test_at_first_it_grabs_for_who_is_idle_alone(lane, queue, crew, now):
    now[0] += 1

    lane.fill(10_000)

    assert queue.limits == [4]


def test_it_grabs_further_ahead_as_long_as_batches_are_quick_and_no_further(lane, queue, crew, now):
    for _ in range(20):
        work(lane, crew, now, seconds=0.01)

    assert queue.limits == sorted(queue.limits)
    assert queue.limits[3] > 4
    assert FAR_AHEAD - 100 < queue.limits[-1] <= FAR_AHEAD + crew.size


def test_it_grabs_less_far_ahead_when_batches_are_slow(lane, queue, crew, now):
    for _ in range(20):
        work(lane, crew, now, seconds=0.01)

    for _ in range(12):
        work(lane, crew, now, seconds=1)

    assert queue.limits[-1] <= 5


def test_it_grabs_more_long_before_all_is_begun(lane, queue, crew, now):
    ahead = work_often(lane, crew, now, seconds=0.01)

    crew.finish(1)
    early = lane.room
    while crew.waiting > ahead * 3 / 4:
        crew.finish(1)

    assert early == 0
    assert lane.room == ahead - crew.waiting > 0


def test_it_grabs_as_far_ahead_when_it_is_begun_as_fast_but_a_few_at_a_time(lane, crew, now):
    ahead = work_often(lane, crew, now, seconds=0.02)

    begin_a_quarter(lane, crew, now, seconds=0.005)

    assert crew.waiting == ahead


def test_it_grabs_less_far_ahead_when_fewer_are_begun_in_as_short_a_time(lane, queue, crew, now):
    far = work_often(lane, crew, now, seconds=0.02)

    begin_a_quarter(lane, crew, now, seconds=HOARD_SECONDS / 2)

    assert queue.limits[-1] < far / 8


def test_a_small_allowance_is_no_sign_that_jobs_take_long(lane, crew, now):
    ahead = work_often(lane, crew, now, seconds=0.01)

    for _ in range(10):
        work(lane, crew, now, seconds=0.01, at_most=5)
    work(lane, crew, now, seconds=0.01)

    assert crew.waiting == ahead


def test_what_waits_too_long_is_given_back(lane, queue, crew, now):
    for _ in range(5):
        work(lane, crew, now, seconds=0.01)
    waiting = list(crew.jobs)

    now[0] += HOARD_SECONDS / 2
    soon = lane.take_hoarded()
    now[0] += HOARD_SECONDS
    late = lane.take_hoarded()

    assert soon == []
    assert late == waiting != []
    assert lane.room == 0


def test_after_that_it_grabs_for_who_is_idle_alone(lane, queue, crew, now):
    for _ in range(5):
        work(lane, crew, now, seconds=0.01)
    now[0] += 1
    lane.take_hoarded()

    crew.finish(1)

    assert lane.room == 1


def test_it_grabs_no_more_than_it_is_allowed(lane, queue, crew):
    assert len(lane.fill(3)) == 3
    assert lane.fill(0) == []


@pytest.mark.parametrize("arg", [b"5", b"true", b"[1, 2]", None])
def test_args_that_a_receiver_has_read_are_as_large_as_before(lane, queue, crew, now, arg):
    queue.arg = arg
    poll = queue.poll

    def read(limit):
        jobs = poll(limit)
        for job in jobs:
            job.arg  # noqa: B018 - it is decoded then
        return jobs

    queue.poll = read

    assert len(work(lane, crew, now, seconds=0.01)) == crew.size


def test_large_args_are_grabbed_in_small_batches(lane, queue, crew, now):
    queue.arg = b'"' + b"x" * 500_000 + b'"'

    for _ in range(20):
        work(lane, crew, now, seconds=0.01)

    assert max(queue.limits) <= 4 + 8 + 8


@pytest.mark.only_on("sqlite")
def test_a_quick_job_does_not_wait_behind_a_slow_one(client, start, tmp_path):
    from tests.waiting import until

    quick = [client.dispatch_async("Good") for _ in range(300)]
    running = start("--processes", 2, "--threads", 1)
    until(lambda: all(not handle.is_pending for handle in quick[:50]), 30)
    slow = client.dispatch_async("Good", 4, priority=1)
    late = [client.dispatch_async("Good") for _ in range(20)]

    until(lambda: all(not handle.is_pending for handle in late), 30)

    assert slow.is_pending
    running.stop()
