"""The audit of a storm: whatever is wrong is told, and what a fault explains is not."""

import os
from itertools import count

import pytest

from django_schwartz.torture.account import account_of
from django_schwartz.torture.audit import Audit, audit
from django_schwartz.torture.kinds import Atomic, Doomed, Plain, Replaced
from django_schwartz.torture.ledger import Event, Ledger, Line
from django_schwartz.torture.report import percentile, report, slower
from django_schwartz.torture.rows import End, Rows
from django_schwartz.worker import registry

WORKER, HOST, OTHER = 20, 10, 30
PLACE = ("here", 1)


@pytest.fixture
def lines():
    """Write the next line of a ledger, a second later than the one before."""
    written, seconds_passed = [], count()

    def write(event, key="Plain-1", *, pid=WORKER, **details):
        details.setdefault("place", list(PLACE))
        written.append(Line(float(next(seconds_passed)), pid, HOST, event, key, details))

    def begin(grabs, *, pid=WORKER, is_early=False):
        write(Event.BEGUN, grabs=grabs, pid=pid, is_early=is_early)

    def record(grabs, verdict="completed", status=0, *, pid=WORKER):
        write(Event.RECORDED, grabs=grabs, verdict=verdict, status=status, pid=pid)

    def fault(kind, pid=WORKER, seconds=0):
        details = {"pid": pid, "seconds": seconds}
        written.append(Line(float(next(seconds_passed)), 1, 1, Event.FAULT, kind, details))

    write.written, write.begin, write.record, write.fault = written, begin, record, fault
    write(Event.DISPATCHED, is_duplicate=False)
    return write


def wrong(lines, *, ends=None, queued=None, effects=()):
    """What is wrong, without what is not."""
    rows = Rows(queued=queued or {}, ends={PLACE: ended()} if ends is None else ends)
    rows.effects.update(effects)
    found = audit(account_of(lines.written), rows)
    return [what for what, sentences in found.wrong.items() if sentences]


def ended(key="Plain-1", kind=Plain, status=0):
    return End(key, kind.funcname, status)


def test_a_job_that_was_performed_once_is_as_it_should_be(lines):
    lines.begin(1)
    lines.record(1)

    assert wrong(lines) == []


def test_a_job_that_is_nowhere_is_lost(lines):
    assert wrong(lines, ends={}) == ["lost"]


def test_a_job_that_is_queued_still_is_stuck(lines):
    assert wrong(lines, ends={}, queued={PLACE: "Plain-1"}) == ["stuck"]


def test_a_repeat_without_a_fault_is_unexplained(lines):
    lines.begin(1)
    lines.fault("SIGKILL of a worker", OTHER)
    lines.begin(2)
    lines.record(2)

    assert wrong(lines) == ["repeats unexplained"]


@pytest.mark.parametrize(
    ("kind", "pid"),
    [
        ("SIGKILL of a worker", WORKER),
        ("SIGKILL of a host", HOST),
        ("SIGTERM of a host", HOST),
        ("SIGSTOP of a worker", WORKER),
        ("cut of a session", 0),
        ("freeze of a database", 0),
    ],
)
def test_a_repeat_after_a_fault_is_explained(lines, kind, pid):
    lines.begin(1)
    lines.fault(kind, pid, seconds=3)
    lines.begin(2)
    lines.record(2)

    assert wrong(lines) == []


def test_a_worker_killed_before_it_tells_of_its_outcome_explains_the_repeat(lines):
    lines.begin(1)
    lines.begin(2, pid=OTHER)
    lines.fault("SIGKILL of a worker", WORKER)
    lines.record(2, pid=OTHER)

    found = audit(account_of(lines.written), Rows(queued={}, ends={PLACE: ended()}))

    assert found.is_clean
    assert not found.recoveries


def test_a_worker_killed_long_after_the_repeat_explains_nothing(lines):
    lines.begin(1)
    lines.begin(2, pid=OTHER)
    lines.record(2, pid=OTHER)
    lines.fault("SIGKILL of a worker", WORKER)

    assert wrong(lines) == ["repeats unexplained"]


def test_a_job_that_a_frozen_worker_had_grabbed_and_begins_too_late_is_explained(lines):
    lines.fault("SIGSTOP of a worker", WORKER, seconds=3)
    lines.begin(2, pid=OTHER)
    lines.record(2, pid=OTHER)
    lines.begin(1)

    assert wrong(lines) == []


def test_a_retry_needs_no_fault(lines):
    lines.begin(1)
    lines.record(1, "failed, to be retried", None)
    lines.begin(2)
    lines.record(2)

    assert wrong(lines) == []


def test_a_stale_outcome_that_was_accepted_is_a_fence_violation(lines):
    lines.begin(1)
    lines.fault("SIGSTOP of a worker", WORKER, seconds=1)
    lines.begin(2, pid=OTHER)
    lines.record(1)

    assert wrong(lines) == ["fence violations"]


def test_two_ends_of_one_job_are_a_fence_violation(lines):
    lines.begin(1)
    lines.record(1)
    lines.record(1)

    assert wrong(lines) == ["fence violations"]


def test_one_grab_that_two_performed_is_a_fence_violation(lines):
    lines.begin(1)
    lines.fault("SIGKILL of a worker", WORKER)
    lines.begin(1, pid=OTHER)
    lines.record(1, pid=OTHER)

    assert wrong(lines) == ["fence violations"]


def test_a_job_before_its_time_is_too_early(lines):
    lines.begin(1, is_early=True)

    assert wrong(lines) == ["performed too early"]


def test_a_job_of_a_transaction_that_was_rolled_back_is_told_of(lines):
    lines(Event.ROLLED_BACK, "Plain-2", place=None)
    ends = {PLACE: ended(), ("here", 2): ended("Plain-2")}

    assert wrong(lines, ends=ends) == ["performed, though rolled back"]


def test_another_exit_status_than_planned_is_told_of(lines):
    assert wrong(lines, ends={PLACE: ended("Doomed-1", Doomed)}) == ["ends not as planned"]


def test_a_dispatch_that_made_two_jobs_is_told_of(lines):
    ends = {PLACE: ended(), ("here", 2): ended()}

    assert wrong(lines, ends=ends) == ["ends not as planned"]


@pytest.mark.parametrize("effects", [[], ["Atomic-1", "Atomic-1"]])
def test_an_atomic_worker_leaves_one_effect(lines, effects):
    ends = {PLACE: ended("Atomic-1", Atomic)}

    assert wrong(lines, ends=ends, effects=effects) == ["effects twice"]
    assert wrong(lines, ends=ends, effects=["Atomic-1"]) == []


@pytest.mark.parametrize(
    ("children", "is_whole"),
    [
        (["Replaced-1/1/0", "Replaced-1/1/1"], True),
        (["Replaced-1/1/0"], False),
        (["Replaced-1/1/0", "Replaced-1/2/1"], False),
        (["Replaced-1/1/0", "Replaced-1/1/1", "Replaced-1/2/0", "Replaced-1/2/1"], False),
    ],
)
def test_a_replaced_job_has_the_children_of_one_attempt(lines, children, is_whole):
    places = {("here", number): ended(key) for number, key in enumerate(children, start=2)}

    found = wrong(lines, ends={PLACE: ended("Replaced-1", Replaced), **places})

    assert found == ([] if is_whole else ["torn replacements"])


def test_a_ledger_is_read_as_it_was_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    ledger.write(Event.BEGUN, "Plain-1", grabs=1)
    at_first = ledger.news()
    Ledger(tmp_path / "ledger").write(Event.STARTED)

    assert [(line.event, line.key, line.pid, line["grabs"]) for line in at_first] == [
        ("begun", "Plain-1", os.getpid(), 1)
    ]
    assert [line.event for line in ledger.news()] == ["started"]
    assert [line.event for line in ledger.lines()] == ["begun", "started"]


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    with ledger.path.open("ab", buffering=0) as file:
        file.write(b'[1, 2, 3, "started"')
        assert ledger.news() == []
        file.write(b', "", {}]\n')

    assert [line.event for line in ledger.news()] == ["started"]


def test_a_percentile_is_one_of_the_values():
    assert percentile([5], 0.99) == 5
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile(range(1, 101), 0.5) == 50


@pytest.mark.parametrize(
    ("kind", "seconds", "judged", "is_late"),
    [
        ("SIGKILL of a worker", [0.25] * 99 + [9], "0.25  1 at most: ok", False),
        ("SIGKILL of a worker", [0.25] * 98 + [9] * 2, "9.00  1 at most: SLOWER", True),
        ("SIGKILL of a host", [6.0], "6.00  6 at most: ok", False),
        ("SIGKILL of a host", [6.1], "6.10  6 at most: SLOWER", True),
    ],
)
def test_what_comes_back_later_than_it_should_is_told_of(lines, kind, seconds, judged, is_late):
    account, found = account_of(lines.written), Audit(recoveries={kind: seconds})

    told = report(account, found, seed=1, lease_seconds=4)

    assert f"seconds from {kind} to the next attempt" in told
    assert f"  {judged}\n" in told
    assert slower(found, 4) == ([kind] if is_late else [])


def test_nothing_is_wrong_only_where_something_happened(lines):
    def verdict():
        return report(account_of(lines.written), Audit(), seed=1, lease_seconds=4).splitlines()[-2]

    assert verdict().startswith("NOTHING IS SHOWN: no job was performed.")
    lines.begin(1)
    assert verdict().startswith("NOTHING IS SHOWN: there was no fault.")
    lines.fault("SIGKILL of a worker")
    assert verdict() == "Nothing is wrong."


def test_the_workers_are_registered_only_by_a_torture():
    assert "schwartz_torture.Plain" not in registry
