"""What the queue tells of, by Django signals and in the log.

Every signal is sent with `send_robust`: a receiver that raises changes nothing.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.dispatch import Signal, receiver

from django_schwartz.logs import escaped, log_lines

logger = logging.getLogger("django_schwartz")

#: Seconds that come to no millisecond, as those of thousands of jobs do.
HALF_A_MILLISECOND = 0.000_5

#: A job, the models.Outcome that was recorded of it, and the seconds that it took, if it ran.
Finished = tuple[Any, Any, float | None]

#: A job was stored, in a transaction that may yet roll back. Sent with `job`.
job_dispatched = Signal(use_caching=True)
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
    return escaped(text)


def tell(signal: Signal, jobs: Iterable[Any]) -> None:
    """Send the signal of each of the jobs."""
    for job in jobs if signal.receivers else ():  # asked once, since that takes a while
        signal.send_robust(type(job), job=job)


def tell_finished(finished: Sequence[Finished]) -> None:
    """Log each of them by a line, and send job_finished of it."""
    _log_finished(finished)
    for job, outcome, runtime in finished if job_finished.receivers else ():
        job_finished.send_robust(type(job), job=job, outcome=outcome, runtime=runtime)


@lru_cache(maxsize=1000)
def _printable_name(funcname: str) -> str:
    return printable(funcname)


def _log_finished(finished: Iterable[Finished]) -> None:
    for outcome, together in groupby(finished, key=itemgetter(1)):  # thousands may share one
        level = logging.WARNING if outcome.failure else logging.INFO
        log_lines(level, "%s %s-%s %s", _lines_of(outcome, together))


def _lines_of(outcome: Any, finished: Iterable[Finished]) -> Iterator[tuple[object, ...]]:
    verdict = outcome.verdict
    why = f": {printable(outcome.message)}" if outcome.message else ""
    instantly = f"{verdict} in 0.000 s{why}"
    for job, _, runtime in finished:
        if runtime is None:
            said = f"{verdict}{why}"
        elif runtime < HALF_A_MILLISECOND:
            said = instantly
        else:
            said = f"{verdict} in {runtime:.3f} s{why}"
        yield _printable_name(job.funcname), job.alias, job.jobid, said


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
