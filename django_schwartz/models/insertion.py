"""Jobs on their way into the queue: the rows of a batch, and what each job is told of its own."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django_schwartz import signals
from django_schwartz.dialects import FUNCID, UNIQKEY, Dialect, Inserted, Row
from django_schwartz.exceptions import UnseenRow
from django_schwartz.models.handle import JobHandle
from django_schwartz.models.rows import MICROSECONDS, SECONDS

if TYPE_CHECKING:
    from django_schwartz.models.job import Job
    from django_schwartz.models.queue import JobQuerySet

#: Looks at a uniqkey whose job keeps leaving the queue between our INSERT and our SELECT.
DUPLICATE_LOOKS = 10


class Insertion:
    """Inserts jobs by one statement, or few; `rows` is what it writes of each."""

    def __init__(
        self, queue: "JobQuerySet", dialect: Dialect, jobs: "Sequence[Job]", rows: Sequence[Row]
    ) -> None:
        self._queue = queue
        self._using = queue.db
        self._dialect = dialect
        self._jobs = jobs
        self._rows = rows
        #: Whether a worker is to be told after the commit, as far as was seen.
        self.has_seen_idle = False

    def insert(self) -> list[JobHandle]:
        """Insert the jobs and give their handles; if that fails, they are as they were."""
        before: list[tuple[dict[str, Any], dict[str, Any]]] = []
        try:
            with self._dialect.inserting(self._queue, self._rows) as inserted:
                # The database may be writing them meanwhile.
                before = [(vars(job).copy(), vars(job._state).copy()) for job in self._jobs]
                handles = self._tell_of(inserted)
        except BaseException:
            for job, (attributes, state) in zip(self._jobs, before, strict=False):
                job.__dict__, job._state.__dict__ = attributes, state
            raise
        if None not in inserted:
            signals.tell(signals.job_dispatched, self._jobs)
            return handles
        told = zip(self._jobs, self._rows, inserted, strict=True)
        self._hand_to_twins([(job, row) for job, row, new in told if new is None])
        signals.tell(signals.job_dispatched, [job for job in self._jobs if not job.is_duplicate])
        return [JobHandle(self._using, job.jobid, job.is_duplicate) for job in self._jobs]

    def _tell_of(self, inserted: "Sequence[Inserted | None]") -> list[JobHandle]:
        using, moments, handles = self._using, Moments(), []
        for job, row, new in zip(self._jobs, self._rows, inserted, strict=True):
            if new is not None:
                job.become_stored(new, funcid=row[FUNCID], using=using, moments=moments)
                handles.append(JobHandle(using, new.jobid))
                self.has_seen_idle |= new.has_seen_idle
        return handles

    def _hand_to_twins(self, late: "Sequence[tuple[Job, Row]]") -> None:
        """Give each of these jobs the handle of the one that has its uniqkey."""
        wanted = defaultdict(list)
        for _, row in late:
            wanted[row[FUNCID]].append(row[UNIQKEY])
        found = {
            (funcid, uniqkey): jobid
            for funcid, uniqkeys in wanted.items()
            for uniqkey, jobid in self._queue.filter(
                func_id=funcid, uniqkey__in=uniqkeys
            ).values_list("uniqkey", "pk")
        }
        for job, row in late:
            twin = found.get((row[FUNCID], row[UNIQKEY]))
            if twin is None:
                self._hand_to_twin(job, row)
            else:
                job.become_duplicate_of(twin, funcid=row[FUNCID], using=self._using)

    def _hand_to_twin(self, job: "Job", row: Row) -> None:
        """Give the job the handle of the one that has its uniqkey; insert it if that is gone."""
        funcid, uniqkey = row[FUNCID], row[UNIQKEY]
        twins = self._queue.filter(func_id=funcid, uniqkey=uniqkey).values_list("pk", flat=True)
        for _ in range(DUPLICATE_LOOKS):
            if (twin := twins.first()) is not None:
                return job.become_duplicate_of(twin, funcid=funcid, using=self._using)
            [new] = self._dialect.insert(self._queue, [row])
            if new is not None:
                self.has_seen_idle |= new.has_seen_idle
                return job.become_stored(new, funcid=funcid, using=self._using, moments=Moments())
        raise UnseenRow(f"The job that has the uniqkey {uniqkey!r}")


class Moments:
    """Times of the database as Python's, each made once: those of a batch are often the same."""

    def __init__(self) -> None:
        self._seconds: dict[int, datetime | None] = {}
        self._microseconds: dict[int, datetime | None] = {}

    def of_seconds(self, seconds: int) -> datetime | None:
        if seconds not in self._seconds:
            self._seconds[seconds] = SECONDS.moment(seconds)
        return self._seconds[seconds]

    def of_microseconds(self, microseconds: int) -> datetime | None:
        if microseconds not in self._microseconds:
            self._microseconds[microseconds] = MICROSECONDS.moment(microseconds)
        return self._microseconds[microseconds]
