"""TheSchwartz: dispatches jobs and looks them up, grabs jobs and has them performed."""

import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, Literal, overload

from django.db import connections

from django_schwartz.abilities import Abilities, Ability, name_of
from django_schwartz.batches import Batches
from django_schwartz.conf import conf
from django_schwartz.databases import Databases, checked_aliases
from django_schwartz.dialects import Lease, dialect_of
from django_schwartz.dispatching import after_commit, dispatch, made_job
from django_schwartz.exceptions import InvalidHandle
from django_schwartz.express import dispatch_plain
from django_schwartz.identity import process_name
from django_schwartz.models import FuncMap, Job, JobHandle, JobQuerySet
from django_schwartz.models.rows import check_storable
from django_schwartz.performance import Performance, Performer, fails_as_unreadable
from django_schwartz.serializers import checked_name
from django_schwartz.signals import printable
from django_schwartz.worker import current_job, registry

__all__ = ["JobHandle", "TheSchwartz"]

logger = logging.getLogger("django_schwartz")

_grab_numbers = itertools.count(1)


class TheSchwartz(Abilities):
    """A client of the queue. What is not given comes from the SCHWARTZ setting.

    `databases` are aliases; ValueError for one that DATABASES lacks. `floor` is the lowest priority
    that is grabbed, 0 for none. `verbose` gets debug messages: a callable of (message, job), or
    True for standard error.
    """

    def __init__(
        self,
        databases: Iterable[str] | None = None,
        *,
        prioritize: bool | None = None,
        floor: int | None = None,
        batch_size: int | None = None,
        strict_remove_ability: bool | None = None,
        retry_seconds: float | None = None,
        verbose: bool | Callable[[str, Job | None], object] = False,
    ) -> None:
        settings = conf()
        super().__init__(
            Databases(
                checked_aliases(settings.databases if databases is None else databases),
                retry_seconds=settings.retry_seconds if retry_seconds is None else retry_seconds,
            )
        )
        self.prioritize = settings.prioritize if prioritize is None else prioritize
        self.floor = settings.floor if floor is None and self.prioritize else floor or 0
        self.batch_size = settings.batch_size if batch_size is None else batch_size
        self.strict_remove_ability = (
            settings.strict_remove_ability
            if strict_remove_ability is None
            else strict_remove_ability
        )
        self.verbose = verbose
        self.queues: list[str] = []
        self.excluded_queues: list[str] = []

    @property
    def floor(self) -> int:
        return self._floor

    @floor.setter
    def floor(self, floor: int) -> None:
        if floor and not self.prioritize:
            raise ValueError("floor only works if prioritize is set.")
        self._floor = floor

    # Dispatch

    @overload
    def dispatch_async(
        self,
        job: Job | str,
        arg: object = None,
        *,
        using: str | None = None,
        on_commit: Literal[False] = False,
        **fields: Any,
    ) -> JobHandle: ...

    @overload
    def dispatch_async(
        self,
        job: Job | str,
        arg: object = None,
        *,
        using: str | None = None,
        on_commit: Literal[True],
        **fields: Any,
    ) -> None: ...

    def dispatch_async(
        self,
        job: Job | str,
        arg: object = None,
        *,
        using: str | None = None,
        on_commit: bool = False,
        **fields: Any,
    ) -> JobHandle | None:
        """Put one job into the queue: a Job, or a funcname with an arg and other fields of a Job.

        Inside atomic() on a queue database the job goes to that one and stands or falls with the
        transaction. Elsewhere any database that lives takes it. `using` names one; `on_commit`
        waits for the open transaction to commit, for a queue that is in another database, and gives
        no handle; what cannot be stored raises at once nevertheless.

        A job whose uniqkey is queued already is not queued twice: the handle is the queued job's,
        and `is_duplicate`. Raises AllDatabasesDead; TypeError or ValueError for a job that cannot
        be stored.
        """
        if isinstance(job, str) and not fields and using is None and not on_commit:
            handle = dispatch_plain(job, arg, self.databases)
            if handle is not None:
                return handle
        made = made_job(job, arg, fields)
        if on_commit:
            check_storable(made)
            after_commit(partial(self._dispatch, Batches([made]), using))
            return None
        return self._dispatch(Batches([made]), using)[0]

    def dispatch_jobs(
        self,
        jobs: Iterable[Job],
        *,
        using: str | None = None,
        on_progress: Callable[[int], object] | None = None,
    ) -> list[JobHandle]:
        """Put many jobs into the queue, all in one database and one transaction.

        Gives a handle for each, and raises, as dispatch_async; ValueError, too, for uniqkeys whose
        home databases differ. The jobs may be an iterator of any length: they are taken by the
        thousand. `on_progress` is then called with the number of jobs so far, which are not
        committed yet.

        When the database dies, or a deadlock is lost, after more than the first thousand of an
        iterator's, that error is raised, for those cannot be had again.
        """
        batches = Batches(jobs)
        return self._dispatch(batches, using, on_progress) if batches.first else []

    def _dispatch(
        self,
        batches: Batches[Job],
        using: str | None,
        on_progress: Callable[[int], object] | None = None,
    ) -> list[JobHandle]:
        return dispatch(batches, self.databases, using=using, on_progress=on_progress)

    # Looking up

    def handle_from_string(self, text: str) -> JobHandle:
        """The handle that str() made, of one of this client's databases. Raises InvalidHandle."""
        handle = JobHandle.from_string(text)
        if handle.alias not in self.databases.aliases:
            raise InvalidHandle(
                f"{text!r} is of the database {handle.alias!r}, which is not among this client's: "
                f"{', '.join(self.databases.aliases)}."
            )
        return handle

    def lookup_job(self, handle: JobHandle | str) -> Job | None:
        """The job of a handle, or None when it has left the queue. Raises InvalidHandle."""
        job = self.handle_from_string(str(handle)).job
        return job and self._mine(job)

    def list_jobs(
        self,
        funcname: Ability | Iterable[Ability],
        *,
        run_after: datetime | int | None = None,
        grabbed_until: datetime | int | None = None,
        jobid: int | None = None,
        coalesce: str | None = None,
        coalesce_prefix: str | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """Jobs of these functions, held and future ones too, without grabbing any.

        `run_after` and `grabbed_until` are upper bounds; `limit`, batch_size unless given, is for
        each database.
        """
        names = [funcname] if isinstance(funcname, str | type) else funcname
        bounds = {"run_after__lte": run_after, "grabbed_until__lte": grabbed_until, "pk": jobid}
        given = {lookup: value for lookup, value in bounds.items() if value is not None}
        found: list[Job] = []
        for alias in self.databases.in_random_order():
            with self.databases.failing_over(alias):
                funcids = self._funcids(names, alias)
                jobs = self.narrowed(Job.objects.using(alias).filter(**given).of(funcids))
                jobs = _coalescing(jobs, coalesce, coalesce_prefix)
                found += jobs[: self.batch_size if limit is None else limit]
        return found

    def get_server_time(self, using: str | None = None) -> int:
        """The server's time in whole UNIX seconds: the clock that decides what is due."""
        alias = using or self.databases.aliases[0]
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SELECT {dialect_of(connections[alias]).now}", [])
            return int(cursor.fetchone()[0])

    # Grabbing

    def find_job_for_workers(
        self, workers: Ability | Iterable[Ability] | None = None
    ) -> Job | None:
        """Grab the next due job of these workers, or of the current abilities, or give None."""
        if isinstance(workers, str | type):
            workers = [workers]
        return self._grab(self.current_abilities if workers is None else workers)

    def find_job_with_coalescing_value(self, worker: Ability, value: str | None) -> Job | None:
        """Grab a due job of that worker whose coalesce is the value; for None there is none."""
        return self._grab_along([worker], coalesce=value)

    def find_job_with_coalescing_prefix(self, worker: Ability, prefix: str | None) -> Job | None:
        """Grab a due job of that worker whose coalesce begins so, letter by letter."""
        return self._grab_along([worker], coalesce_prefix=prefix)

    def _grab_along(self, workers: list[Ability], **narrowing: str | None) -> Job | None:
        """Grab a job to do along with the one being performed; it is settled with that one."""
        if None in narrowing.values():  # a job without a coalesce belongs to no group
            return None
        performance = Performance.current()
        while job := self._grab(workers, along_with=performance, **narrowing):
            if performance is None:
                return job
            if not fails_as_unreadable(job):
                performance.held.append(job)
                return job
        return None

    def _grab(
        self,
        workers: Iterable[Ability],
        *,
        coalesce: str | None = None,
        coalesce_prefix: str | None = None,
        along_with: Performance | None = None,
    ) -> Job | None:
        names = [name_of(worker) for worker in workers]
        for alias in self.databases.in_random_order() if names else []:
            with self.databases.failing_over(alias):
                lease = self.lease(names, alias)
                jobs = self.narrowed(Job.objects.using(alias).due().of(lease.seconds))
                jobs = _coalescing(jobs, coalesce, coalesce_prefix)
                grab = partial(jobs.grab, look_at=self.batch_size)
                for job in along_with.grab_along(alias, lease, grab) if along_with else grab(lease):
                    return self._mine(job)
        return None

    @property
    def is_choosy(self) -> bool:
        """Whether it depends on a job's queue if this client takes it."""
        return bool(self.queues or self.excluded_queues)

    def narrowed(self, jobs: JobQuerySet) -> JobQuerySet:
        """The jobs that this client's priorities and queues admit, in its order."""
        jobs = jobs.at_least(self.floor) if self.floor else jobs
        jobs = jobs.in_queues(self.queues) if self.queues else jobs
        jobs = jobs.not_in_queues(self.excluded_queues) if self.excluded_queues else jobs
        return jobs.in_order(prioritize=self.prioritize)

    def _funcids(self, workers: Iterable[Ability], alias: str) -> list[int]:
        names = [name_of(worker) for worker in workers]
        return [row.funcid for row in FuncMap.objects.find(names, using=alias).values()]

    def lease(self, funcnames: Iterable[str], alias: str) -> Lease:
        """A lease that nobody else has the like of, as long as each worker's grab_for."""
        rows = FuncMap.objects.find(funcnames, using=alias)
        seconds = {
            row.funcid: max(1, int(registry.get(name).policy("grab_for")))
            for name, row in rows.items()
        }
        number = next(_grab_numbers)
        return Lease(number=number, grabbed_by=f"{process_name()}:{number}", seconds=seconds)

    # Working

    def work_once(self, job: Job | None = None) -> bool:
        """Perform one job: the given one, or the next of this client's abilities. False for none.

        Another ability is preferred next time, so that none starves.
        """
        job = job or self.find_next_job()
        if job is None:
            return False
        if not self.strict_remove_ability:
            self.temporarily_remove_ability(job.funcname)
        Performer().perform(job)
        return True

    def find_next_job(self) -> Job | None:
        """Grab the job to perform next: of the current abilities, or else of all of them."""
        job = self.find_job_for_workers()
        if job or self.strict_remove_ability or self.current_abilities == self.all_abilities:
            return job
        self.restore_full_abilities()
        return self.find_job_for_workers()

    def work_until_done(self) -> None:
        """Perform jobs until none is due."""
        while self.work_once():
            pass

    def work(self, delay: float = 5, *, sleep: Callable[[float], object] = time.sleep) -> None:
        """Perform jobs for ever, waiting `delay` seconds whenever none is due."""
        while True:
            if not self.work_once():
                sleep(delay)

    def work_on(self, handle: JobHandle | str) -> bool:
        """Perform the job of a handle as it is, without grabbing it. False if it is gone."""
        job = self.lookup_job(handle)
        if job is None:
            return False
        Performer().perform(job)
        return True

    def grab_and_work_on(self, handle: JobHandle | str) -> bool:
        """Grab the job of a handle, due or not, and perform it. False if it is gone or held."""
        job = self._grab_this(self.handle_from_string(str(handle)))
        if job is None:
            return False
        Performer().perform(job)
        return True

    def _grab_this(self, handle: JobHandle) -> Job | None:
        job = self.lookup_job(handle)
        if job is None:
            return None
        lease = self.lease([registry[job.funcname].funcname], handle.alias)
        grabbed = Job.objects.using(handle.alias).filter(pk=handle.jobid).free().grab(lease)
        return self._mine(grabbed[0]) if grabbed else None

    # What is going on

    @property
    def current_job(self) -> Job | None:
        """The job that this thread or task performs."""
        return current_job()

    def debug(self, message: str, job: Job | None = None) -> None:
        """Tell the verbose hook, and the log at level DEBUG."""
        logger.debug("%s%s", f"{printable(job)}: " if job else "", printable(message))
        if callable(self.verbose):
            self.verbose(message, job)
        elif self.verbose:
            sys.stderr.write(f"{printable(message)}\n")

    def _mine(self, job: Job) -> Job:
        """The job, whose debug() now comes to this client."""
        job.debug_to = self.debug
        return job


def _coalescing(jobs: JobQuerySet, value: str | None, prefix: str | None) -> JobQuerySet:
    value, prefix = checked_name("coalesce", value), checked_name("coalesce", prefix)
    jobs = jobs if value is None else jobs.coalescing(value)
    return jobs if prefix is None else jobs.coalescing_prefix(prefix)
