"""What a process holds: leases are renewed in time, in one statement, and lost ones are noticed."""

import threading
from array import array

import pytest
from django.db import OperationalError
from django.db.models import F

from django_schwartz.engine import SIZE, Ledger
from django_schwartz.engine.holds import Holds
from django_schwartz.fields import unix_seconds
from django_schwartz.models import Job
from tests.rows import lease_elsewhere, row_of, statements

LEASE = 60


@pytest.fixture
def now():
    """The clock of the holds: seconds."""
    return [1000.0]


@pytest.fixture
def ledger(database):
    return Ledger(array("q", [0] * SIZE), [database])


@pytest.fixture
def holds(ledger, now):
    return Holds(ledger, clock=lambda: now[0])


@pytest.fixture
def hold(client, holds, now):
    """Dispatch a job, grab it by a lease of sixty seconds, and hold it."""

    def hold(*, grab_for=3600):
        client.dispatch_async("Held")
        lease = client.lease(["Held"], client.databases.aliases[0])
        lease.seconds.update(dict.fromkeys(lease.seconds, LEASE))
        [job] = Job.objects.due().grab(lease)
        holds.add(job, LEASE, leased_at=now[0], grab_for=grab_for)
        return job

    return hold


def until(job):
    return row_of(job.handle)["grabbed_until"].timestamp()


def test_a_lease_is_left_alone_for_a_third_of_its_time(holds, hold, now, database):
    hold()
    now[0] += 19

    with statements(database) as words:
        lost = holds.renew(database)

    assert (lost, words) == ([], [])


def test_all_leases_are_renewed_by_one_statement_for_the_time_that_is_over(
    holds, hold, now, database
):
    jobs = [hold() for _ in range(5)]
    leases = [until(job) for job in jobs]
    now[0] += 20

    with statements(database) as words:
        lost = holds.renew(database)

    assert (lost, words) == ([], ["UPDATE"])
    assert [until(job) for job in jobs] == [lease + 20 for lease in leases]
    assert [unix_seconds(job.grabbed_until) for job in jobs] == [lease + 20 for lease in leases]
    assert [holds.lease_ends(job) for job in jobs] == [now[0] + LEASE - 1] * 5


def test_the_ledger_knows_the_new_lease(holds, hold, now, ledger, database):
    job = hold()
    lease = until(job)
    now[0] += 20

    holds.renew(database)

    [entry] = ledger.entries()
    assert set(entry.leases) == {lease, lease + 20}


def test_a_renewed_job_is_settled(holds, hold, now, database):
    job = hold()
    now[0] += 20
    holds.renew(database)

    assert job.completed()
    assert row_of(job.handle) is None


def test_a_lease_that_another_has_is_lost_and_the_others_are_renewed(holds, hold, now, database):
    lost, kept = hold(), hold()
    lease = until(kept)
    lease_elsewhere(lost.handle)
    now[0] += 20

    assert holds.renew(database) == [lost]
    assert until(kept) == lease + 20


def test_a_job_that_is_being_settled_is_not_renewed(holds, hold, now, database):
    job = hold()
    holds.stop_renewing([job])
    lease = until(job)
    now[0] += 20

    holds.renew(database)

    assert until(job) == lease
    assert job.leases == (lease,)


def test_a_job_over_its_grab_for_is_not_renewed(holds, hold, now, database):
    job = hold(grab_for=15)
    holds.begin(lambda: None, job)
    now[0] += 21

    with statements(database) as words:
        holds.renew(database)

    assert words == []
    assert [entry.job for entry in holds.overdue()] == [job]


def renew_and_lose_the_reply(holds, monkeypatch, database, *, is_made):
    """The database does as it was told or does not, and the connection breaks."""
    update = type(Job.objects.all()).update

    def lose(rows, **values):
        if is_made:
            update(rows, **values)
        raise OperationalError("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(Job.objects.all()), "update", lose)
        with pytest.raises(OperationalError):
            holds.renew(database)


@pytest.mark.parametrize("is_made", [True, False])
def test_after_a_lost_reply_the_row_has_the_old_lease_or_the_new_and_is_settled_by_either(
    holds, hold, now, monkeypatch, database, is_made
):
    job = hold()
    now[0] += 20

    renew_and_lose_the_reply(holds, monkeypatch, database, is_made=is_made)

    assert until(job) in job.leases
    assert job.completed()


@pytest.mark.parametrize("is_made", [True, False])
def test_after_a_lost_reply_the_next_renewal_learns_what_became_of_it(
    holds, hold, now, monkeypatch, database, is_made
):
    job = hold()
    lease = until(job)
    now[0] += 20
    renew_and_lose_the_reply(holds, monkeypatch, database, is_made=is_made)

    now[0] += 1
    lost = holds.renew(database)

    assert lost == []
    assert until(job) in job.leases
    assert until(job) >= lease + 20
    assert len(job.leases) == 1


def test_what_is_performed_is_known_until_it_ends_though_it_has_its_outcome(holds, hold):
    job = hold()
    holds.begin(lambda: None, job)

    holds.drop([job])
    performed = holds.performed()
    holds.end(job)

    assert performed == [job]
    assert holds.performed() == []
    assert len(holds) == 0


def test_a_job_that_went_on_after_its_outcome_is_overdue_in_its_time(holds, hold, now):
    job = hold(grab_for=15)
    holds.begin(lambda: None, job)
    holds.drop([job])

    now[0] += 16

    assert [entry.job for entry in holds.overdue()] == [job]


def test_a_job_that_has_ended_is_not_interrupted(holds, hold, now):
    interrupted = threading.Event()
    job = hold(grab_for=15)
    holds.begin(interrupted.set, job)
    now[0] += 16
    [overdue] = holds.overdue()

    holds.end(job)
    holds.interrupt(overdue)

    assert not interrupted.is_set()


def test_a_job_does_not_end_while_it_is_being_interrupted_and_others_do(holds, hold, now):
    interrupting, may_go_on, has_ended = threading.Event(), threading.Event(), threading.Event()

    def interrupt():
        interrupting.set()
        may_go_on.wait(60)

    def end():
        holds.end(late)
        has_ended.set()

    late, other = hold(grab_for=15), hold()
    holds.begin(interrupt, late)
    holds.begin(lambda: None, other)
    now[0] += 16
    [overdue] = holds.overdue()

    threads = [threading.Thread(target=holds.interrupt, args=[overdue])]
    threads[0].start()
    assert interrupting.wait(60)
    threads.append(threading.Thread(target=end))
    threads[1].start()
    holds.end(other)
    ended_at_once = has_ended.wait(0.1)
    may_go_on.set()
    for thread in threads:
        thread.join(60)

    assert not ended_at_once
    assert has_ended.is_set()
    assert holds.performed() == []


def test_releases_by_others_are_losses(holds, hold, now, database):
    job = hold()
    Job.objects.filter(pk=job.pk).update(grabbed_until=0, grabs=F("grabs"))
    now[0] += 20

    assert holds.renew(database) == [job]
