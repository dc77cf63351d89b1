"""The recorder: writes what a process of a torture does into the ledger."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from django_schwartz.models import Job
from django_schwartz.signals import job_finished, lease_lost
from django_schwartz.torture.ledger import Event, Ledger
from django_schwartz.torture.sessions import name_of_session

#: What the name of every function of a torture begins with.
PREFIX = "schwartz_torture."


class Recorder:
    """Keeps the process's ledger, once there is one."""

    ledger: Ledger | None = None

    def write(self, event: Event, key: str = "", **details: Any) -> None:
        if self.ledger is not None:
            self.ledger.write(event, key, **details)

    def write_of(self, job: Job, event: Event, **details: Any) -> None:
        if job.funcname.startswith(PREFIX):
            key, place = str(job.arg["key"]), [job.alias, job.jobid]
            self.write(event, key, place=place, grabs=job.grabs, **details)


recorder = Recorder()


def record_in(ledger: Ledger) -> None:
    """Write to this ledger from now on."""
    recorder.ledger = ledger
    job_finished.connect(_record_outcome)
    lease_lost.connect(_record_loss)
    connection_created.connect(_record_session)


def begin(job: Job) -> None:
    """Write that the job's worker begins, and whether before its time."""
    due = job.scheduled_for
    is_early = bool(due and job.grabbed_at and job.grabbed_at < due)
    recorder.write_of(job, Event.BEGUN, is_early=is_early)


def _record_outcome(*, job: Job, outcome: Any, **_: object) -> None:
    recorder.write_of(job, Event.RECORDED, verdict=outcome.verdict, status=outcome.exit_status)


def _record_loss(*, job: Job, **_: object) -> None:
    recorder.write_of(job, Event.LEASE_LOST)


def _record_session(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    name = name_of_session(connection)
    if name is not None:
        recorder.write(Event.SESSION, alias=connection.alias, name=name)
