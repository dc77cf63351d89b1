"""Jobs as the rows that an insert writes."""

from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError

from django_schwartz.conf import conf
from django_schwartz.dialects import Later, Row
from django_schwartz.fields import UnixMicrosecondField, UnixTimeField
from django_schwartz.models.arg import stored_arg
from django_schwartz.models.funcmap import FuncMap, without_name
from django_schwartz.serializers import checked_name, encode_json_column

if TYPE_CHECKING:
    from django_schwartz.models.job import Job

SECONDS = UnixTimeField()
MICROSECONDS = UnixMicrosecondField()

#: What a job has that is more than a function and an arg, as most are not.
_MORE = ("jobid", "uniqkey", "run_after", "priority", "coalesce", "queue_name", "meta")
_more_of = attrgetter(*_MORE)
_NOTHING = (None,) * len(_MORE)

#: The last jobid that may be given: the database goes on counting from it.
LAST_JOBID = 2**62


class Rows:
    """Makes the rows of one dispatch to one database; asks once for what they share."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._max_arg_bytes = conf().max_arg_bytes
        self._funcids: dict[str, int] = {}

    def row_of(self, job: "Job") -> Row:
        """What an insert of the job writes, in INSERTED's order. Raises TypeError, ValueError."""
        # The funcid comes last: what cannot be stored makes no function.
        return (*_checked_values(job, self._max_arg_bytes), self._funcid_of(job))

    def _funcid_of(self, job: "Job") -> int:
        name = job.funcname
        funcid = self._funcids.get(name)
        if funcid is None:
            self._funcids[name] = funcid = self._function_of(job, name).funcid
        return funcid

    def _function_of(self, job: "Job", name: Any) -> FuncMap:
        # What is remembered has a row, and so is a name: there is no need to check it.
        known = name and isinstance(name, str) and FuncMap.objects.recall(name, using=self._using)
        return known or FuncMap.objects.get_or_make(_checked_funcname(job), using=self._using)


def check_storable(job: "Job") -> None:
    """Raise TypeError or ValueError for a job that cannot be stored, without a query."""
    _checked_values(job, conf().max_arg_bytes)
    _checked_funcname(job)


def _checked_values(job: "Job", max_arg_bytes: int) -> tuple[Any, ...]:
    """What an insert of the job writes, but for its funcid."""
    arg = checked_arg(job, max_arg_bytes)
    if _more_of(job) == _NOTHING:
        return (None, arg, None, None, None, 0, 0, None, None, None, None, None)
    run_after, scheduled_for = _times_of(job)
    return (
        _checked_jobid(job.jobid) if job._state.adding else None,
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
        _checked_meta(job.meta, max_arg_bytes),
    )


def _checked_funcname(job: "Job") -> str:
    name = checked_name("funcname", job.funcname)
    if not name:
        raise ValueError("A job needs a funcname: the name of the worker that is to perform it.")
    if name == without_name(job.func_id):
        raise ValueError(f"No function has the funcid {job.func_id}: give the job a funcname.")
    return name


def _checked_jobid(jobid: Any) -> int | None:
    if jobid is None:
        return None
    if isinstance(jobid, bool) or not isinstance(jobid, int):
        raise TypeError(f"jobid must be a whole number, not {jobid!r}.")
    if not 0 < jobid <= LAST_JOBID:
        raise ValueError(f"jobid must lie between 1 and 2**62, not at {jobid}.")
    return jobid


def _checked_meta(meta: object, limit: int) -> str | None:
    text = encode_json_column("meta", meta)
    if text is not None and (size := len(text.encode())) > limit:
        raise ValueError(
            f"meta has {size:,} bytes, more than SCHWARTZ['MAX_ARG_BYTES'] = {limit:,}."
        )
    return text


def checked_arg(job: "Job", limit: int) -> bytes | None:
    """The stored form of the arg. Raises ValueError for one that is too large, TypeError."""
    return checked_size(stored_arg(job), limit)


def checked_size(arg: bytes | None, limit: int) -> bytes | None:
    """The arg, stored in so many bytes at the most. Raises ValueError."""
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
    if asked is None or (asked == 0 and asked is not False):
        return None, None
    if isinstance(asked, timedelta):
        later = Later(_checked_delay(asked) // timedelta(microseconds=1))
        return later, later
    moment = _checked_moment(asked)
    return SECONDS.get_prep_value(moment), MICROSECONDS.get_prep_value(moment)


def _checked_moment(asked: Any) -> Any:
    try:
        return SECONDS.to_python(asked)
    except (ValidationError, ValueError, OverflowError) as error:
        raise ValueError(
            f"run_after must be a datetime, UNIX seconds or a timedelta, not {asked!r}."
        ) from error


def _checked_delay(delay: timedelta) -> timedelta:
    """Raises ValueError for one that leads out of the calendar."""
    try:
        datetime.now(UTC) + delay
    except OverflowError as error:
        raise ValueError(f"run_after is {delay} from now, which no calendar has.") from error
    return delay
