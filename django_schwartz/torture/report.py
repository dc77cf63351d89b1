"""The report: one table of what happened, and the seed."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from django_schwartz.torture.account import Account
from django_schwartz.torture.audit import Audit

#: Sentences shown of each kind of what is wrong.
SHOWN = 10


def report(account: Account, audit: Audit, *, seed: int) -> str:
    return "\n".join([*_table(account, audit), "", *_verdict(audit), f"seed {seed}"])


def _table(account: Account, audit: Audit) -> Iterable[str]:
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
        figures = (
            f"{percentile(seconds, 0.5):.2f} / {percentile(seconds, 0.99):.2f} / {max(seconds):.2f}"
        )
        yield _line(f"s from {kind} to the next attempt", f"{figures} (median, p99, longest)")
    for what, sentences in audit.wrong.items():
        yield _line(what, len(sentences))


def _counts(what: str, counts: Counter[str]) -> Iterable[str]:
    yield _line(what, counts.total())
    for kind, count in counts.most_common():
        yield _line(f"  {kind}", count)


def _verdict(audit: Audit) -> Iterable[str]:
    if audit.is_clean:
        yield "Nothing is wrong."
    for what, sentences in audit.wrong.items():
        if sentences:
            yield f"WRONG, {what}: {'; '.join(sentences[:SHOWN])}"


def _line(what: str, figure: object) -> str:
    return f"{what:<52} {figure:>8}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
