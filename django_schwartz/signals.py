"""What the queue tells of, by Django signals and in the log.

Every signal is sent with `send_robust`: a receiver that raises changes nothing.
"""

import logging
from collections.abc import Iterable
from typing import Any

from django.dispatch import Signal, receiver

from django_schwartz.exceptions import traceback_of

logger = logging.getLogger("django_schwartz")

#: A job, the models.Outcome that was recorded of it, and the seconds that it took, if it ran.
Finished = tuple[Any, Any, float | None]

#: A job was stored, in a transaction that may yet roll back. Sent with `job`.
job_dispatched = Signal()
#: A worker holds a job. Sent with `job`.
job_grabbed = Signal()
#: An outcome was recorded. Sent with `job`, `outcome` (a models.Outcome) and `runtime` (seconds or
#: None).
job_finished = Signal(use_caching=True)
#: A job's outcome was refused, since another holds it now or it is gone. Sent with `job`.
lease_lost = Signal()
#: A queue database stopped answering. Sent with `using`, `error` and `retry_seconds`.
database_died = Signal()
#: It answers again. Sent with `using`.
database_revived = Signal()


def printable(text: object) -> str:
    """Text that stays on one line of a log, whatever it holds."""
    text = str(text)[:500]
    if text.isprintable():
        return text
    return _escaped(text)


def _escaped(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def bar_traceback(record: logging.LogRecord) -> bool:
    """Begin each line of a record's traceback with a bar, as a filter: none passes for a record.

    An exception's text is its user's, and may hold line breaks and escape sequences.
    """
    if record.exc_info and record.exc_info[1]:
        lines = traceback_of(record.exc_info[1]).rstrip("\n").split("\n")
        record.exc_text = "\n".join(f"  | {_escaped(line)}" for line in lines)
    return True


def tell_finished(finished: Iterable[Finished]) -> None:
    """Log each of them by a line, and send job_finished of it."""
    finished = list(finished)
    _log_finished(finished)
    for job, outcome, runtime in finished if job_finished.has_listeners() else ():
        job_finished.send_robust(type(job), job=job, outcome=outcome, runtime=runtime)


def _log_finished(finished: Iterable[Finished]) -> None:
    """As logger.log(), but that what the records share is found out once: it takes longest."""
    records: dict[int, logging.LogRecord] = {}
    for job, outcome, runtime in finished:
        level = logging.WARNING if outcome.failure else logging.INFO
        if not logger.isEnabledFor(level):
            continue
        took = "" if runtime is None else f" in {runtime:.3f} s"
        why = f": {printable(outcome.message)}" if outcome.message else ""
        name, where = printable(job.funcname), f"{job.alias}-{job.jobid}"
        if level not in records:
            records[level] = logger.makeRecord(
                logger.name, level, __file__, 0, "%s %s %s%s%s", (), None, "tell_finished"
            )
        logger.handle(_with_args(records[level], (name, where, outcome.verdict.value, took, why)))


def _with_args(record: logging.LogRecord, args: tuple[object, ...]) -> logging.LogRecord:
    other = type(record).__new__(type(record))
    other.__dict__.update(record.__dict__, args=args)
    return other


@receiver(lease_lost)
def log_lease_lost(*, job: Any, **_: object) -> None:
    logger.warning(
        "%s %s lease lost: its outcome is not recorded", printable(job.funcname), job.handle
    )


@receiver(database_died)
def log_database_died(*, using: str, error: Exception, retry_seconds: float, **_: object) -> None:
    logger.error(
        "database %r cannot be used, trying again within %g s: %s",
        using,
        retry_seconds,
        printable(" ".join(str(error).split())),
    )


@receiver(database_revived)
def log_database_revived(*, using: str, **_: object) -> None:
    logger.info("database %r answers again", using)
