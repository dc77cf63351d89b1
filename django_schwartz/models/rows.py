"""Jobs as the rows that an insert writes."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django_schwartz.conf import conf
from django_schwartz.dialects import Later, Row
from django_schwartz.fields import UnixMicrosecondField, UnixTimeField
from django_schwartz.models.arg import stored_arg
from django_schwartz.models.funcmap import FuncMap
from django_schwartz.serializers import checked_name

if TYPE_CHECKING:
    from django_schwartz.models.job import Job

SECONDS = UnixTimeField()
MICROSECONDS = UnixMicrosecondField()


class Rows:
    """Makes the rows of one dispatch to one database; asks once for what they share."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._max_arg_bytes = conf().max_arg_bytes
        self._funcids: dict[str, int] = {}

    def row_of(self, job: "Job") -> Row:
        """What an insert of the job writes, in INSERTED's order. Raises TypeError, ValueError."""
        jobid, *others = _checked_values(job, self._max_arg_bytes)
        return (jobid, self._funcid_of(job.funcname), *others)

    def _funcid_of(self, funcname: str) -> int:
        funcid = self._funcids.get(funcname)
        if funcid is None:
            name = _checked_funcname(funcname)
            funcid = FuncMap.objects.get_or_make(name, using=self._using).funcid
            self._funcids[funcname] = funcid
        return funcid


def check_storable(job: "Job") -> None:
    """Raise TypeError or ValueError for a job that cannot be stored, without a query."""
    _checked_values(job, conf().max_arg_bytes)
    _checked_funcname(job.funcname)


def _checked_values(job: "Job", max_arg_bytes: int) -> Row:
    """What an insert of the job writes, but for its funcid."""
    arg = checked_arg(job, max_arg_bytes)
    run_after, scheduled_for = _times_of(job)
    return (
        job.jobid if job._state.adding else None,
        arg,
        checked_name("uniqkey", job.uniqkey),
        None,
        run_after,
        0,
        _checked_priority(job.priority),
        checked_name("coalesce", job.coalesce),
        None,
        scheduled_for,
        checked_name("queue_name", job.queue_name),
        None if job.meta is None else json.dumps(job.meta),
    )


def _checked_funcname(funcname: str) -> str:
    name = checked_name("funcname", funcname)
    if not name:
        raise ValueError("A job needs a funcname: the name of the worker that is to perform it.")
    return name


def checked_arg(job: "Job", limit: int) -> bytes | None:
    """The stored form of the arg. Raises ValueError for one that is too large, TypeError."""
    arg = stored_arg(job)
    if arg is not None and len(arg) > limit:
        raise ValueError(
            f"The arg has {len(arg):,} bytes, more than SCHWARTZ['MAX_ARG_BYTES'] = {limit:,}: "
            "store it elsewhere and dispatch where it is."
        )
    return arg


def _checked_priority(priority: int | None) -> int:
    if priority is None:
        return 0
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TypeError(f"priority must be a whole number, not {priority!r}.")
    if not -32_768 <= priority <= 32_767:
        raise ValueError(f"priority must lie between -32768 and 32767, not at {priority}.")
    return priority


def _times_of(job: "Job") -> tuple[int | Later | None, int | Later | None]:
    """run_after and scheduled_for in their columns' units; None and None are the server's now."""
    asked: Any = job.run_after
    if not asked and not isinstance(asked, timedelta):
        return None, None
    if isinstance(asked, timedelta):
        later = Later(_checked_delay(asked) // timedelta(microseconds=1))
        return later, later
    moment = SECONDS.to_python(asked)
    return SECONDS.get_prep_value(moment), MICROSECONDS.get_prep_value(moment)


def _checked_delay(delay: timedelta) -> timedelta:
    """Raises ValueError for one that leads out of the calendar."""
    try:
        datetime.now(UTC) + delay
    except OverflowError as error:
        raise ValueError(f"run_after is {delay} from now, which no calendar has.") from error
    return delay
