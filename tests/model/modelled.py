"""The jobs of the model, the workers that perform them, and what the tables hold of them."""

from dataclasses import dataclass

from django.db import connections

from django_schwartz import Worker
from django_schwartz.models import Job
from tests.model.ledger import GRAB_FOR, RETRY_DELAY, VERDICTS, Ledger
from tests.model.saying import SAY


class Modelled(Worker):
    """Does what the arg says."""

    grab_for = GRAB_FOR
    retry_delay = RETRY_DELAY
    keep_exit_status_for = 10**6
    performed = []

    def work(self, job):
        self.performed.append(job)
        deed = job.arg
        if deed == "raises":
            raise RuntimeError(deed)
        if deed in SAY:
            SAY[deed](job)


class Once(Modelled):
    """Is tried once."""


class Often(Modelled):
    """Is tried three times."""

    max_retries = 2


WORKERS = {"Once": Once, "Often": Often}


@dataclass(eq=False)
class Entry:
    """A job that is, or was, in the queue."""

    alias: str
    jobid: int
    job: Job
    ledger: Ledger

    @property
    def order(self):
        return -(self.job.priority or 0), self.ledger.run_after, self.jobid

    def say(self, verdict, now):
        if verdict == "fails" and self.ledger.failures >= WORKERS[self.job.funcname].max_retries:
            verdict = "gives up"
        self.ledger = VERDICTS[verdict](self.ledger, now)

    def perform(self, now):
        """Do what the arg says; a lease that lapsed is a failure first, maybe one too many."""
        if self.ledger.has_lapsed:
            worker = WORKERS[self.job.funcname]
            if self.ledger.failures >= max(worker.max_retries, worker.max_crashes):
                self.say("gives up", now)
                return
            self.ledger = self.ledger.having_failed()
        self.say(self.job.arg if self.job.arg in SAY else "fails", now)


@dataclass(eq=False)
class Held:
    """A job as a worker has it, which may have lost it since."""

    entry: Entry
    job: Job
    grab: int
    has_spoken: bool = False

    @property
    def counts(self):
        """Whether its word counts: nobody has grabbed the job since, and it was not settled."""
        ledger = self.entry.ledger
        return not self.has_spoken and ledger.is_queued and ledger.grabs == self.grab


def jobs_in(alias):
    sql = """
        SELECT jobid, funcname, uniqkey, coalesce, run_after, grabbed_until, grabs
        FROM django_schwartz_job JOIN django_schwartz_funcmap USING (funcid)
    """
    return {jobid: tuple(row) for jobid, *row in fetched(alias, sql)}


def ends_in(alias):
    errors = "SELECT jobid, COUNT(*) FROM django_schwartz_error GROUP BY jobid"
    statuses = "SELECT jobid, status FROM django_schwartz_exitstatus"
    failures, ends = dict(fetched(alias, errors)), dict(fetched(alias, statuses))
    return {jobid: (failures.get(jobid, 0), ends.get(jobid)) for jobid in {*failures, *ends}}


def fetched(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()
