"""Every order in which two workers can take their steps with one job, up to a number of steps.

A step is one statement or one transaction, as another worker could come between: where a grab takes
two statements, it is two steps. Each step is done for real, in a savepoint, and what it did is
compared with the ledger; then it is undone, and the next one is tried. Schedules that lead to one
and the same state of the job and of what both workers know go on together: what follows is done for
the first of them, and counted for each.
"""

import copy
from dataclasses import dataclass, field, replace
from functools import partial

from django.db import connections, transaction

from django_schwartz.dialects import Lease, dialect_of
from django_schwartz.dialects.one_statement import OneStatement
from django_schwartz.models import Job
from tests.model.ledger import GRAB_FOR, VERDICTS, Ledger
from tests.model.saying import SAY

#: Seconds that pass in one step: more than a lease, less than the delay of a retry.
STEP_OF_TIME = GRAB_FOR + 1


class Wrong(AssertionError):
    """A schedule at whose end the queue is not as the ledger says."""

    def __init__(self, schedule, told):
        self.schedule = ", ".join(schedule)
        super().__init__(f"{self.schedule}: {told}")


class Between(Exception):
    """A grab has read its candidates, and taken none yet."""


class Candidates:
    """What a grab reads, kept for when it goes on."""

    def __init__(self, jobs):
        self.jobs, self.read = jobs, None

    def defer(self, *fields):
        if self.read is None:
            self.read = list(self.jobs.defer(*fields))
        return self.read


@dataclass(frozen=True)
class Worker:
    """What one worker knows: the candidates that it read, or the job that it was given."""

    looked: Candidates | None = None
    saw: Ledger | None = None
    job: Job | None = None
    grab: int | None = None

    @property
    def knows(self):
        return repr(
            (self.saw, self.grab, self.job and (self.job.grabbed_until, self.job.run_after))
        )


@dataclass(frozen=True)
class World:
    now: int
    ledger: Ledger
    workers: dict[str, Worker] = field(default_factory=lambda: {"A": Worker(), "B": Worker()})

    def having(self, name, worker, ledger=None):
        workers = {**self.workers, name: worker}
        return replace(self, ledger=ledger or self.ledger, workers=workers)

    @property
    def state(self):
        """What decides what can follow; the workers' names do not."""
        return self.now, self.ledger, *sorted(worker.knows for worker in self.workers.values())


class Interleavings:
    """The search. `steps_done` counts the steps that it did, far fewer than there are schedules."""

    def __init__(self, job, clock):
        self.alias, self.jobid = job.alias, job.jobid
        self.clock = clock
        self.dialect = dialect_of(connections[self.alias])
        self.in_two_steps = not isinstance(self.dialect, OneStatement)
        self.lease = Lease(grabbed_by="A or B", seconds={job.funcid: GRAB_FOR})
        self.start = World(clock.now, Ledger(run_after=clock.now))
        self.steps_done = 0
        self._explored = {}

    def search(self, depth):
        """Search all schedules of one step and up to that many, and count them.

        Raises Wrong at the first that goes wrong.
        """
        return self._explore(self.start, (), depth)

    def shortest(self, most):
        """The shortest schedule that goes wrong, in words; None if none of `most` steps does."""
        for depth in range(1, most + 1):
            try:
                self.search(depth)
            except Wrong as wrong:
                return wrong.schedule
        return None

    def _explore(self, world, schedule, depth):
        key = world.state, depth
        if key not in self._explored:
            steps = self._steps_from(world) if depth else ()
            self._explored[key] = sum(
                1 + self._after(step, world, (*schedule, told), depth) for told, step in steps
            )
        return self._explored[key]

    def _after(self, step, world, schedule, depth):
        """How many schedules there are that begin so. The step is undone."""
        with transaction.atomic(using=self.alias):
            after = self._done(step, world, schedule)
            schedules = self._explore(after, schedule, depth - 1)
            transaction.set_rollback(True, using=self.alias)
        return schedules

    def _done(self, step, world, schedule):
        self.clock.set(world.now)
        self.steps_done += 1
        try:
            after = step()
            self._compare(after.ledger)
        except AssertionError as error:
            raise Wrong(schedule, error) from error
        return after

    # What can happen next

    def _steps_from(self, world):
        yield "time passes", partial(replace, world, now=world.now + STEP_OF_TIME)
        for name, worker in world.workers.items():
            yield from self._steps_of(world, name, worker)

    def _steps_of(self, world, name, worker):
        if worker.job is not None:
            for verdict in SAY:
                yield f"{name} {verdict}", partial(self._say, world, name, verdict)
            yield f"{name} dies", partial(world.having, name, Worker())
        elif worker.looked is not None:
            yield f"{name} takes", partial(self._take, world, name)
        else:
            yield f"{name} looks", partial(self._look, world, name)

    # Steps: each gives the world after it, as the ledger has it

    def _look(self, world, name):
        due = Job.objects.using(self.alias).due().of(self.lease.seconds)
        candidates = Candidates(due) if self.in_two_steps else due
        try:
            jobs = self._grab(candidates, stop_between=True)
        except Between:
            assert world.ledger.is_due(world.now), "it is seen, and should not be"
            return world.having(name, Worker(looked=candidates, saw=world.ledger))
        return self._taken(world, name, jobs, is_free=True)

    def _take(self, world, name):
        worker = world.workers[name]
        jobs = self._grab(worker.looked, stop_between=False)
        return self._taken(world, name, jobs, is_free=worker.saw == world.ledger)

    def _grab(self, candidates, *, stop_between):
        def between():
            if stop_between:
                raise Between

        self.dialect.after_select = between
        return self.dialect.grab(candidates, self.lease, limit=1)

    @staticmethod
    def _taken(world, name, jobs, *, is_free):
        may_have_it = is_free and world.ledger.is_due(world.now)
        assert bool(jobs) == may_have_it, "it is taken, or is not, and should be otherwise"
        if not jobs:
            return world.having(name, Worker())
        ledger = world.ledger.grabbed(world.now)
        return world.having(name, Worker(job=jobs[0], grab=ledger.grabs), ledger)

    @staticmethod
    def _say(world, name, verdict):
        worker = world.workers[name]
        counts = worker.grab == world.ledger.holder
        ledger = VERDICTS[verdict](world.ledger, world.now) if counts else world.ledger
        assert SAY[verdict](copy.copy(worker.job)) == counts, "its word counts, or does not"
        return world.having(name, Worker(), ledger)

    def _compare(self, ledger):
        sql = """
            SELECT job.run_after, job.grabbed_until, job.grabs,
                (SELECT COUNT(*) FROM django_schwartz_error error WHERE error.jobid = one.jobid),
                status.status
            FROM (SELECT CAST(%s AS INTEGER) AS jobid) one
            LEFT JOIN django_schwartz_job job ON job.jobid = one.jobid
            LEFT JOIN django_schwartz_exitstatus status ON status.jobid = one.jobid
        """
        with connections[self.alias].cursor() as cursor:
            cursor.execute(sql, [self.jobid])
            is_now = cursor.fetchone()
        row = ledger.run_after, ledger.grabbed_until, ledger.grabs
        expected = *(row if ledger.is_queued else [None] * 3), ledger.failures, ledger.exit_status
        assert is_now == expected, f"the rows say {is_now}, the ledger {expected}"
