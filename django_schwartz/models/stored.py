"""A job as the database has it: its columns, its place, and the lease by which it is held."""

from typing import TYPE_CHECKING, Self

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.dialects import LAPSED, Inserted
from django_schwartz.fields import UnixMicrosecondField, UnixTimeField, unix_seconds
from django_schwartz.models.arg import ArgField
from django_schwartz.models.columns import GrabIndex, NameField, Priority
from django_schwartz.models.funcmap import FuncMap
from django_schwartz.models.handle import JobHandle
from django_schwartz.models.insertion import Moments
from django_schwartz.models.meta import MetaField
from django_schwartz.models.queue import JobQuerySet
from django_schwartz.models.quick import QuicklyMade
from django_schwartz.models.rows import SECONDS
from django_schwartz.transactions import Tentative
from django_schwartz.worker import Worker

if TYPE_CHECKING:
    from django_schwartz.models.job import Job


class StoredJob(QuicklyMade):
    """What Job adds verdicts to."""

    jobid = models.BigAutoField(primary_key=True)
    func = models.ForeignKey(
        FuncMap, models.PROTECT, db_column="funcid", db_index=False, related_name="+"
    )
    arg = ArgField(null=True)
    uniqkey = NameField(max_length=255, null=True)
    insert_time = UnixTimeField(null=True)
    run_after = UnixTimeField()
    grabbed_until = UnixTimeField(default=0, db_default=0)
    priority = models.SmallIntegerField(null=True)
    coalesce = NameField(max_length=255, null=True)

    #: Times that the job was grabbed; with grabbed_until, what tells one lease from another.
    grabs = models.IntegerField(default=0, db_default=0)
    grabbed_by = NameField(max_length=255, null=True)
    grabbed_at = UnixMicrosecondField(null=True)
    dispatched_at = UnixMicrosecondField(null=True)
    scheduled_for = UnixMicrosecondField(null=True)
    started_at = UnixMicrosecondField(null=True)
    queue_name = NameField(max_length=255, null=True)
    meta = MetaField(null=True)

    objects = JobQuerySet.as_manager()
    quick_properties = {"funcname": "_funcname"}

    #: Whether this job was not stored, since one with its uniqkey is queued: the handle is that
    #: one's.
    is_duplicate = False
    #: The class that performs it, from when that is looked up.
    worker: type[Worker] | None = None
    _funcname: str | None = None
    #: What a renewal of the lease makes of grabbed_until, as long as its success is not known.
    _renewal: tuple[int, ...] = ()
    #: The leases that ended with this holder's releases, each with whether that was rolled back.
    _released: tuple[tuple[int, Tentative], ...] = ()

    class Meta:
        abstract = True
        permissions = [
            ("run_job", "Can have a job run now"),
            ("cancel_job", "Can cancel a job"),
            ("view_job_args", "Can view the args and results of jobs"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["func", "uniqkey"], name="schwartz_job_uniqkey")
        ]
        indexes = [
            models.Index(fields=["func", "run_after"], name="schwartz_job_run_after"),
            models.Index(fields=["func", "coalesce"], name="schwartz_job_coalesce"),
            GrabIndex(
                "func",
                Priority("priority").desc(),
                "run_after",
                "jobid",
                name="schwartz_job_grab",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.funcname} {self.handle or '(not dispatched)'}"

    @classmethod
    def new_from_array(cls, funcname: str, arg: object) -> Self:
        """A job of that function with that arg. As TheSchwartz::Job->new_from_array."""
        return cls(funcname=funcname, arg=arg)

    # What and where it is

    @property
    def alias(self) -> str:
        """The alias of the database that the job is stored in."""
        return self._state.db or JobQuerySet(type(self)).db

    @property
    def driver(self) -> BaseDatabaseWrapper:
        """The connection to the database that the job is stored in."""
        connection: BaseDatabaseWrapper = connections[self.alias]
        return connection

    @property
    def funcid(self) -> int:
        return self.func_id

    @funcid.setter
    def funcid(self, funcid: int) -> None:
        self.func_id, self._funcname = funcid, None
        vars(self).pop("worker", None)

    @property
    def funcname(self) -> str:
        """The name of the function. Set it before the job is dispatched."""
        if self._funcname is None and self.func_id is not None:
            self._funcname = FuncMap.objects.name_of(self.func_id, using=self.alias)
        return self._funcname or ""

    @funcname.setter
    def funcname(self, funcname: str) -> None:
        self._funcname = funcname
        vars(self).pop("worker", None)

    @property
    def handle(self) -> JobHandle | None:
        """The handle of a job that is, or was, stored."""
        if self._state.db is None or self.jobid is None:
            return None
        return JobHandle(self._state.db, self.jobid, self.is_duplicate)

    @handle.setter
    def handle(self, handle: JobHandle) -> None:
        self._state.db, self.jobid = handle.alias, handle.jobid

    def as_read(self) -> JobQuerySet:
        """The job's row, as long as nobody grabbed, released or settled it since it was read."""
        return type(self).objects.using(self.alias).held([self])

    @property
    def leases(self) -> tuple[int, ...]:
        """What the row's grabbed_until may be while the job is held, in UNIX seconds.

        As it was last known, and as a renewal under way makes it.
        """
        return self.read_lease, *self._renewal

    @property
    def read_lease(self) -> int:
        """The same but for the renewal: as it was read, or as a release that stands left it."""
        for lease, release in self._released:
            if not release.holds:
                return lease
        try:
            return unix_seconds(self.grabbed_until or 0)
        except (TypeError, ValueError, OverflowError):  # its worker made it something else
            return 0

    def begin_renewal(self, seconds: int) -> None:
        """Note that the lease is about to be made that much longer."""
        self._renewal = (self.read_lease + seconds,)

    def end_renewal(self, *, was_made: bool = True) -> None:
        """Note that it was, or was not."""
        [lease] = self._renewal
        self._renewal = ()
        if was_made:
            self.grabbed_until = SECONDS.to_python(lease)

    @property
    def is_lapsed(self) -> bool:
        """Whether the lease before this one ended with no outcome: its holder died, or was away."""
        return (self.grabbed_by or "").endswith(LAPSED)

    def become_released(self) -> None:
        standing = [entry for entry in self._released if entry[1].holds]
        self._released = (*standing, (self.leases[-1], Tentative(self.alias)))
        self.grabbed_until = None

    def as_grabbed(self, holders: list[str]) -> "Job | None":
        """The job read again by its holder; None when it is gone again, or another's."""
        rows = type(self).objects.using(self.alias)
        return rows.filter(pk=self.pk, grabbed_by__in=holders).first()

    def become_stored(self, row: Inserted, *, funcid: int, using: str, moments: Moments) -> None:
        """Take what the database made of this job when it was inserted."""
        attributes, state = self.__dict__, self._state
        if attributes.get("func_id") != funcid:
            attributes["func_id"] = funcid  # not by Django's way, which takes a while
            vars(state).pop("fields_cache", None)
        self.jobid, self.is_duplicate = row.jobid, False
        self.insert_time = moments.of_seconds(row.insert_time)
        self.run_after = moments.of_seconds(row.run_after)
        self.dispatched_at = moments.of_microseconds(row.dispatched_at)
        state.db, state.adding = using, False

    def become_duplicate_of(self, jobid: int, *, funcid: int, using: str) -> None:
        """Take the place of the queued job that has this job's uniqkey."""
        self.jobid, self.func_id, self.is_duplicate = jobid, funcid, True
        self._state.db, self._state.adding = using, False
