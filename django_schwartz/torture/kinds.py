"""The kinds of jobs: a worker class each, which says what its jobs are to come to."""

import asyncio
import time
from datetime import timedelta
from typing import Any

from django_schwartz.models import Job
from django_schwartz.torture.recorder import PREFIX, begin
from django_schwartz.worker import Worker

#: A job that nobody performs: what an atomic worker leaves behind, to be counted.
EFFECT = f"{PREFIX}Effect"
#: More failures than any storm brings about.
ENDLESS = 1_000_000
#: When an effect is due, in UNIX seconds.
NEVER = 10**10


class Tortured(Worker):
    """Takes arg["seconds"], then says its verdict."""

    keep_exit_status_for = 86_400
    max_retries = ENDLESS
    max_crashes = ENDLESS
    #: Seconds that its longest jobs take.
    longest: float = 4
    #: The exit status with which each of its jobs ends.
    ends_with = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.funcname = f"{PREFIX}{cls.__name__}"
        super().__init_subclass__(**kwargs)

    def work(self, job: Job) -> object:
        begin(job)
        time.sleep(job.arg["seconds"])
        return self.conclude(job)

    def conclude(self, job: Job) -> object:
        return job.completed()


class Plain(Tortured):
    pass


class Unique(Tortured):
    """Its dispatches race one another."""


class Retried(Tortured):
    def conclude(self, job: Job) -> object:
        return job.completed() if job.failures >= job.arg["failures"] else job.failed("not yet")


class Delayed(Tortured):
    pass


class Declined(Tortured):
    def conclude(self, job: Job) -> object:
        return job.completed() if job.grabs > 2 else job.declined(timedelta(seconds=1))


class Doomed(Tortured):
    ends_with = 3

    def conclude(self, job: Job) -> object:
        return job.permanent_failure("as planned", 3)


class Exhausted(Tortured):
    max_retries = 2
    ends_with = 1

    def conclude(self, job: Job) -> object:
        raise RuntimeError("as planned")


class Replaced(Tortured):
    """Puts two jobs in its place, whose keys tell the attempt."""

    def conclude(self, job: Job) -> object:
        seconds = job.arg["seconds"]
        keys = [f"{job.arg['key']}/{job.grabs}/{number}" for number in range(2)]
        return job.replace_with(
            *[Job.new_from_array(Plain.funcname, {"key": key, "seconds": seconds}) for key in keys]
        )


class Coalesced(Tortured):
    """Performs the due jobs of its group along with the one that it was given."""

    def conclude(self, job: Job) -> object:
        from django_schwartz.client import TheSchwartz

        client = TheSchwartz([job.alias])
        together = [job]
        while other := client.find_job_with_coalescing_value(type(self), str(job.coalesce)):
            begin(other)
            together.append(other)
        return [one.completed() for one in together]


class Atomic(Tortured):
    """Leaves an effect in the queue's database, which stands or falls with the completion."""

    atomic = True
    longest = 0.1  # all the while nobody else can write to an SQLite file

    def conclude(self, job: Job) -> object:
        effect = Job.new_from_array(EFFECT, {"key": job.arg["key"]})
        effect.run_after = NEVER
        Job.objects.using(job.alias).dispatch([effect])
        return job.completed()


class Async(Tortured):
    async def work(self, job: Any) -> object:
        begin(job)
        await asyncio.sleep(job.arg["seconds"])
        return await job.acompleted()


KINDS = Tortured.__subclasses__()
