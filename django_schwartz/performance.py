"""One worker at one job, and at those it does along with it: its code's doings become outcomes."""

import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from types import CoroutineType
from typing import Any, NoReturn

from asgiref.sync import async_to_sync, sync_to_async
from django.db import Error as AnyDatabaseError
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.dialects import DIALECTS, Lease
from django_schwartz.exceptions import ArgUnreadable
from django_schwartz.models import Job, OfThisProcess, Outcome
from django_schwartz.models.outcome import patiently
from django_schwartz.signals import printable
from django_schwartz.worker import Worker, current_performance, registry

logger = logging.getLogger("django_schwartz")

NO_VERDICT = "Job did not explicitly complete, fail, or get replaced"

LAPSED_LEASE = "The lease ended with no outcome: the worker that held the job died, or was away."


class Overdue(BaseException):
    """The job took longer than its grab_for, and has failed; its code is left where it is."""


class NotHeld(Exception):
    """The job's lease was over before its worker's code was called."""


class StopNow(BaseException):
    """The process must end before the job does; user code that runs is left where it is."""


#: What grabs by a lease.
Grab = Callable[[Lease], list[Job]]
#: The same for jobs to do along with that one, in that database, by that lease at the longest.
GrabAlong = Callable[[Job, str, Lease, Grab], list[Job]]


def grab_by_grab_for(job: Job, alias: str, lease: Lease, grab: Grab) -> list[Job]:
    """Grab them by leases that nobody renews."""
    return grab(lease)


def begin_at_once(job: Job) -> bool:
    return True


class Performer:
    """Who performs: what is the same for one job after the other.

    `begin` is called right before the worker's code is: if it says no, the job is given back.
    """

    def __init__(
        self,
        begin: Callable[[Job], bool] = begin_at_once,
        grab_along: GrabAlong = grab_by_grab_for,
    ) -> None:
        self.begin = begin
        self.grab_along = grab_along
        self.process = os.getpid()

    def perform(self, job: Job, connection: BaseDatabaseWrapper | None = None) -> None:
        """Have the job's worker perform it.

        `connection` is this thread's to the job's database, where the caller has it at hand.
        Exceptions of the worker's code, SystemExit and KeyboardInterrupt too, are failures of its
        job. Raises UnknownFunction before anything is done, StopNow when the process was told to
        stop at once, and database errors when an outcome could not be recorded; the lease then ends
        by itself.
        """
        performance = Performance(job, registry[job.funcname], self, connection)
        before = current_performance.set(performance)
        try:
            performance.run()
        finally:
            current_performance.reset(before)

    async def perform_async(self, job: Job) -> None:
        """The same for a worker whose work() is a coroutine, in a task of its own."""
        await Performance(job, registry[job.funcname], self).run_async()


class Afterwards(OfThisProcess):
    """The holder of a job that a coroutine performs: its verdict is recorded afterwards."""

    def __init__(self) -> None:
        self._given: list[tuple[Job, Outcome]] = []

    def record(self, job: Job, outcome: Outcome) -> bool:
        self._given.append((job, outcome))
        return True

    def record_all(self) -> None:
        for job, outcome in self._given:
            job.did_something = job.record(outcome)

    def finish_recording(self, job: Job) -> None:
        pass

    def stop_renewing(self, jobs: Iterable[Job]) -> None:
        pass


class Performance:
    """What happens counts for the current job: the performed one, or another made current."""

    #: Whether the worker's own code runs, so that StopNow may interrupt it.
    is_in_user_code = False

    def __init__(
        self,
        job: Job,
        worker: type[Worker],
        performer: Performer,
        connection: BaseDatabaseWrapper | None = None,
    ) -> None:
        self.job = self.current_job = job
        self.worker = job.worker = worker
        self._performer = performer
        self._connection = connection
        self.held = [job]

    @classmethod
    def current(cls) -> "Performance | None":
        return current_performance.get()

    def grab_along(self, alias: str, lease: Lease, grab: Grab) -> list[Job]:
        """What the grab grabs, for the worker to do along with its job."""
        return self._performer.grab_along(self.job, alias, lease, grab)

    def run(self) -> None:
        """Have the worker perform the job, as the performance that this thread is in."""
        job = self.job
        if (job.is_lapsed and fails_as_crashed(job)) or fails_as_unreadable(job):
            return
        try:
            error = self._work()
        except NotHeld:
            job.give_back()
            return
        except StopNow:
            self._give_back(self.held)
            raise
        except Overdue:  # which has failed; those along have not
            with suppress(AnyDatabaseError):  # by a connection that was left wherever it was
                self._give_back(self.held[1:])
            raise
        self._conclude(error)

    def _conclude(self, error: BaseException | None) -> None:
        """See to it that each job has a verdict, now that the worker is done."""
        if error is not None:
            self._fail_the_current(error)
            self._give_back(self.held)
            return
        for job in self.held:
            if not job.has_verdict and not job.repeat_failure():
                job.failed(NO_VERDICT)

    async def run_async(self) -> None:
        """The same in a task of its own, for a worker whose work() is a coroutine."""
        current_performance.set(self)
        if self.job.is_lapsed and await sync_to_async(fails_as_crashed)(self.job):
            return
        if fails_as_unreadable(self.job):
            return
        if self.job.is_lost or not self._performer.begin(self.job):
            await sync_to_async(self.job.give_back)()
            return
        self.job.begin()
        try:
            work: Any = self.worker().work(self.job)
            await work
        except BaseException as error:  # noqa: BLE001 - as in _call()
            if self.job.is_overdue:  # and so has failed, as in run()
                await sync_to_async(self._give_back)(self.held[1:])
            else:
                await sync_to_async(self._conclude)(error)
        else:
            if not all(job.has_verdict for job in self.held):
                await sync_to_async(self._conclude)(None)

    def _work(self) -> BaseException | None:
        """Run the worker's code and clean up after it. Gives what it raised."""
        connection = self._connection or self.job.driver
        if connection.in_atomic_block:
            return self._work_in_savepoint(connection)
        try:
            return self._call_atomically() if self.worker.atomic else self._call()
        finally:
            leave_no_transaction(connection)

    def _call_atomically(self) -> BaseException | None:
        """Call in a transaction, of which nothing stays but what was completed."""
        try:
            with transaction.atomic(using=self.job.alias):
                error = self._call()
                self._roll_back_unless_completed(error)
        except AnyDatabaseError as refused:  # by the commit
            return refused
        return error

    def _roll_back_unless_completed(self, error: BaseException | None) -> None:
        is_completed = error is None and self.job.did_something and not self.job.has_failed
        if self.worker.atomic and not is_completed:
            transaction.set_rollback(True, using=self.job.alias)

    def _work_in_savepoint(self, connection: BaseDatabaseWrapper) -> BaseException | None:
        """Work inside somebody's atomic(): failed statements must not spoil the outcome."""
        outer: Any = connection.atomic_blocks[-1]
        block: Any = transaction.atomic(using=connection.alias)
        # In a TestCase the worker's own atomic(durable=True) is allowed, and so it stays.
        block._from_testcase = outer._from_testcase
        with block:
            error = self._call()
            self._roll_back_unless_completed(error)
            if not can_go_on(connection):
                transaction.set_rollback(True, using=connection.alias)
        return error

    def _call(self) -> BaseException | None:
        job = self.job
        # It was held, and all else is done now that may have taken a while.
        if job.is_lost or not self._performer.begin(job):
            raise NotHeld
        job.begin()
        try:
            self.is_in_user_code = True
            work: object = self.worker().work(job)
            if isinstance(work, CoroutineType):
                self._run_in_a_loop(work)
        except (StopNow, Overdue):
            raise
        except BaseException as error:  # noqa: BLE001 - sys.exit() fails the job, not the worker
            if os.getpid() != self._performer.process:
                end_fork(error)
            return error
        finally:
            self.is_in_user_code = False
        if os.getpid() != self._performer.process:
            end_fork(None)
        return None

    def _run_in_a_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it in a loop of its own, where nothing may be recorded before it has ended."""

        async def finish() -> None:
            await coroutine

        holder, afterwards = self.job.holder, Afterwards()
        self.job.holder = holder or afterwards
        try:
            async_to_sync(finish)()
        finally:
            self.job.holder = holder
            afterwards.record_all()

    def _fail_the_current(self, error: BaseException) -> None:
        job = self._at_fault()
        is_failed = self._fail(job, error)
        if not is_failed and job is not self.job:  # it is lost, or its grab was rolled back
            self._fail(self.job, error)

    @staticmethod
    def _fail(job: Job, error: BaseException) -> bool:
        """Whether the job was held, or has its verdict."""
        if job.is_lost:
            return False
        if job.did_something:
            logger.warning(
                "%s raised after its verdict, which stands", printable(job), exc_info=error
            )
            return True
        if may_retry(job, error):
            return job.failed(error)
        return job.permanent_failure(error)

    def _at_fault(self) -> Job:
        """The job that an exception fails: the current one, or else the performed one.

        One that has its verdict, or that nobody grabbed here, cannot be failed; and the performed
        one would come back as if nothing had happened, again and again.
        """
        job = self.current_job
        return job if job.was_grabbed and not job.did_something else self.job

    @staticmethod
    def _give_back(jobs: Iterable[Job]) -> None:
        for job in jobs:
            if not job.has_verdict:
                job.give_back()


def may_retry(job: Job, error: BaseException) -> bool:
    """Whether the worker says so, which may be wrong in `retry_on` or raise; then it does."""
    try:
        return registry.get(job.funcname).may_retry(error)
    except (Exception, SystemExit, KeyboardInterrupt):
        logger.exception("%s.may_retry() failed: it is retried", printable(job.funcname))
        return True


def fails_as_unreadable(job: Job) -> bool:
    """Whether the job's arg cannot be read; the job has then failed for good."""
    try:
        job.arg  # noqa: B018 - it is decoded when it is first asked for
    except ArgUnreadable as error:
        job.permanent_failure(error)
        return True
    return False


def fails_as_crashed(job: Job) -> bool:
    """Whether too many workers died of a job whose last lease lapsed; it has then failed for good.

    A lease that ended with no outcome counts as a failure.
    """
    failures = patiently(job, lambda: job.failures)
    if failures + 1 > job.crash_retries:
        return job.permanent_failure(LAPSED_LEASE)
    patiently(job, lambda: job.add_failure(LAPSED_LEASE))
    return False


def end_fork(error: BaseException | None) -> NoReturn:
    """End this process, which user code made: it forked, in C perhaps, and came back twice."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    code = error.code if isinstance(error, SystemExit) else error and 1
    os._exit(code if isinstance(code, int) else int(code is not None))


def leave_no_transaction(connection: BaseDatabaseWrapper) -> None:
    """Roll back what user code left open, and give the connection up if it is broken."""
    if connection.connection is None:
        return
    if connection.in_atomic_block or is_begun(connection):
        connection.close()
        connection.connect()
    if connection.errors_occurred:
        connection.close_if_unusable_or_obsolete()
    if connection.connection is not None and not connection.autocommit:
        connection.rollback()
        connection.set_autocommit(connection.settings_dict["AUTOCOMMIT"])


def is_begun(connection: BaseDatabaseWrapper) -> bool:
    """Whether user code began a transaction by SQL, of which Django does not know."""
    dialect = DIALECTS.get(connection.vendor)  # it may be none of the queue's
    return dialect is not None and connection.autocommit and dialect.is_in_transaction(connection)


def can_go_on(connection: BaseDatabaseWrapper) -> bool:
    """Whether the open transaction takes another statement."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except AnyDatabaseError:
        return False
    return True
