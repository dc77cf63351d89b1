"""The report: one table of what happened, and the seed."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from django_schwartz.torture.account import Account
from django_schwartz.torture.audit import Audit
from django_schwartz.torture.explanations import HOST_KILLED, WORKER_KILLED

#: Sentences shown of each kind of what is wrong.
SHOWN = 10


def report(account: Account, audit: Audit, *, seed: int, lease_seconds: int) -> str:
    bounds = _bounds(lease_seconds)
    table, verdict = _table(account, audit, bounds), _verdict(account, audit)
    return "\n".join([*table, "", *verdict, f"seed {seed}"])


def slower(audit: Audit, lease_seconds: int) -> list[str]:
    """What was killed whose jobs came back later than they should."""
    bounds = _bounds(lease_seconds)
    return [kind for kind, seconds in audit.recoveries.items() if _p99(seconds) > bounds[kind]]


def _bounds(lease_seconds: int) -> dict[str, int]:
    """Seconds after which 99 of 100 jobs are performed again, by what was killed."""
    return {WORKER_KILLED: 1, HOST_KILLED: lease_seconds + 2}


def _table(account: Account, audit: Audit, bounds: dict[str, int]) -> Iterable[str]:
    yield _line("jobs dispatched", len(account.dispatched))
    yield _line("  duplicates of a uniqkey", account.duplicates)
    yield _line("  rolled back", len(account.rolled_back))
    yield _line("  with an error, so perhaps queued", len(account.unknown))
    yield _line("jobs performed", len(account.histories))
    yield _line("attempts", sum(len(history.begun) for history in account.histories.values()))
    yield from _counts("faults", Counter(fault.key for fault in account.faults))
    yield from _counts("jobs performed again, after", audit.repeats)
    yield _line("leases lost, and known to be", account.leases_lost)
    for kind, seconds in sorted(audit.recoveries.items()):
        yield from _times(kind, seconds, bounds[kind])
    for what, sentences in audit.wrong.items():
        yield _line(what, len(sentences))


def _times(kind: str, seconds: Sequence[float], most: int) -> Iterable[str]:
    judged = f"{most} at most: {'ok' if _p99(seconds) <= most else 'SLOWER'}"
    yield _line(f"seconds from {kind} to the next attempt", "")
    yield _line("  median", f"{percentile(seconds, 0.5):.2f}")
    yield _line(f"  p99 of {len(seconds)}", f"{_p99(seconds):.2f}") + f"  {judged}"
    yield _line("  longest", f"{max(seconds):.2f}")


def _counts(what: str, counts: Counter[str]) -> Iterable[str]:
    yield _line(what, counts.total())
    for kind, count in counts.most_common():
        yield _line(f"  {kind}", count)


def _verdict(account: Account, audit: Audit) -> Iterable[str]:
    if account.gap:
        yield f"NOTHING IS SHOWN: {account.gap}. Give it more --seconds, or more --jobs."
    elif audit.is_clean:
        yield "Nothing is wrong."
    for what, sentences in audit.wrong.items():
        if sentences:
            yield f"WRONG, {what}: {'; '.join(sentences[:SHOWN])}"


def _line(what: str, figure: object) -> str:
    return f"{what:<52} {figure:>8}".rstrip()


def _p99(seconds: Sequence[float]) -> float:
    return percentile(seconds, 0.99)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
