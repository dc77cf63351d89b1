"""Why a job was performed again: which fault fell upon the attempt before."""

from collections.abc import Callable, Iterable

from django_schwartz.torture.hosts import SHUTDOWN_SECONDS
from django_schwartz.torture.ledger import Line

#: Seconds by which what is written after a fault may be written late.
LATE_SECONDS = 1
UNEXPLAINED = "unexplained"
WORKER_KILLED, HOST_KILLED = "SIGKILL of a worker", "SIGKILL of a host"


def _is_of(fault: Line, attempt: Line) -> bool:
    return fault["pid"] in (attempt.pid, attempt.host)


def _killed(fault: Line, attempt: Line, repeat: Line) -> bool:
    """Whether it died of it; or had recorded its outcome, and died before it told of that."""
    until = repeat.at + LATE_SECONDS
    return _is_of(fault, attempt) and attempt.at - LATE_SECONDS <= fault.at <= until


def _stopped(fault: Line, attempt: Line, repeat: Line) -> bool:
    return _is_of(fault, attempt) and _all_stood(fault, attempt, repeat)


def _all_stood(fault: Line, attempt: Line, repeat: Line) -> bool:
    """Whether the attempt was under way while the fault lasted."""
    until = fault.at + fault["seconds"] + LATE_SECONDS
    return fault.at <= repeat.at and attempt.at <= until


def _ended(fault: Line, attempt: Line, repeat: Line) -> bool:
    """Whether its host was told to end, and killed it when its time was over."""
    until = fault.at + SHUTDOWN_SECONDS + LATE_SECONDS
    return _is_of(fault, attempt) and fault.at <= repeat.at and attempt.at <= until


def _cut_off(fault: Line, attempt: Line, repeat: Line) -> bool:
    return attempt.at - LATE_SECONDS <= fault.at <= repeat.at


#: By kind of fault, the surest first: whether it explains that the attempt was repeated.
EXPLAINS: dict[str, Callable[[Line, Line, Line], bool]] = {
    WORKER_KILLED: _killed,
    HOST_KILLED: _killed,
    "SIGSTOP of a worker": _stopped,
    "freeze of a database": _all_stood,
    "SIGKILL of a supervisor": _ended,
    "SIGTERM of a host": _ended,
    "restart of the database": _cut_off,
    "cut of a session": _cut_off,
    "lock of a database": _cut_off,
}


def explanation(faults: Iterable[Line], attempt: Line, repeat: Line) -> Line | None:
    """The fault that explains the repeat; None if there is none."""
    near = list(faults)
    for kind, explains in EXPLAINS.items():
        for fault in near:
            if fault.key == kind and explains(fault, attempt, repeat):
                return fault
    return None
