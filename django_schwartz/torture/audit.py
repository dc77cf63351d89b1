"""The audit: every job of the ledger against what the databases hold at the end."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from django_schwartz.torture.account import Account, History
from django_schwartz.torture.explanations import (
    HOST_KILLED,
    UNEXPLAINED,
    WORKER_KILLED,
    explanation,
)
from django_schwartz.torture.kinds import KINDS, Atomic, Replaced
from django_schwartz.torture.rows import End, Place, Rows

ENDS_WITH = {kind.funcname: kind.ends_with for kind in KINDS}


@dataclass
class Audit:
    """Lists are of sentences, each about one job; anything in `wrong` is a fault of the package."""

    wrong: dict[str, list[str]] = field(default_factory=dict)
    #: Jobs performed again, by the fault that explains it.
    repeats: Counter[str] = field(default_factory=Counter)
    #: Seconds from a SIGKILL to the job's next attempt, by what was killed.
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def is_clean(self) -> bool:
        return not any(self.wrong.values())


def audit(account: Account, rows: Rows) -> Audit:
    result = Audit()
    unexplained = list(_explain_repeats(account, result))
    result.wrong = {
        "lost": list(_lost(account, rows)),
        "stuck": sorted(rows.queued.values()),
        "repeats unexplained": unexplained,
        "fence violations": list(_fence_violations(account)),
        "effects twice": list(_wrong_effects(rows)),
        "torn replacements": list(_torn(rows)),
        "ends not as planned": list(_wrong_ends(rows)),
        "performed too early": list(_early(account)),
        "performed, though rolled back": list(_ghosts(account, rows)),
    }
    return result


def _told(place: Place, account: Account) -> str:
    history = account.histories.get(place)
    key = history.key if history else account.dispatched.get(place, "a job")
    return f"{key} ({place[0]}-{place[1]})"


def _lost(account: Account, rows: Rows) -> Iterator[str]:
    for place in {**account.dispatched, **account.histories}:
        if place not in rows.queued and place not in rows.ends:
            yield _told(place, account)


def _explain_repeats(account: Account, result: Audit) -> Iterator[str]:
    for place, history in account.histories.items():
        for number, (attempt, repeat) in enumerate(history.repeats()):
            fault = explanation(account.faults, attempt, repeat)
            result.repeats[fault.key if fault else UNEXPLAINED] += 1
            if fault is None:
                yield f"{_told(place, account)} after attempt {attempt['grabs']}"
            elif (
                number == 0 and fault.key in (WORKER_KILLED, HOST_KILLED) and fault.at <= repeat.at
            ):
                result.recoveries[fault.key].append(repeat.at - fault.at)


def _fence_violations(account: Account) -> Iterator[str]:
    for place, history in account.histories.items():
        if why := _violation(history):
            yield f"{_told(place, account)} {why}"


def _violation(history: History) -> str:
    attempts = [line["grabs"] for line in history.begun]
    departures = [line["grabs"] for line in history.departures]
    if len(departures) > 1:
        return f"left the queue after the attempts {departures}"
    if departures and max(attempts, default=0) > departures[0]:
        return f"was ended by attempt {departures[0]} while {max(attempts)} held it"
    if len({*attempts}) < len(attempts):
        return f"was performed twice by one grab: {attempts}"
    return ""


def _wrong_effects(rows: Rows) -> Iterator[str]:
    completed = {end.key for end in rows.ends.values() if end.funcname == Atomic.funcname}
    for key in completed | set(rows.effects):
        if rows.effects[key] != (key in completed):
            yield f"{key}: {rows.effects[key]}"


def _torn(rows: Rows) -> Iterator[str]:
    children: dict[str, list[str]] = defaultdict(list)
    for key in [*rows.queued.values(), *(end.key for end in rows.ends.values())]:
        parent, *attempt = key.split("/")
        if attempt:
            children[parent].append(key)
    for end in rows.ends.values():
        if end.funcname == Replaced.funcname and not _are_of_one(children[end.key]):
            yield f"{end.key}: {sorted(children[end.key])}"


def _are_of_one(children: list[str]) -> bool:
    attempts = {key.rpartition("/")[0] for key in children}
    return len(attempts) == 1 and len(children) == len({*children}) == 2


def _wrong_ends(rows: Rows) -> Iterator[str]:
    for end in rows.ends.values():
        if end.status != ENDS_WITH[end.funcname]:
            yield f"{end.key}: {end.status}"
    yield from _ended_twice(rows.ends)


def _ended_twice(ends: dict[Place, End]) -> Iterator[str]:
    for key, times in Counter(end.key for end in ends.values()).items():
        if times > 1:
            yield f"{key}: is {times} jobs"


def _early(account: Account) -> Iterator[str]:
    for place, history in account.histories.items():
        if any(line["is_early"] for line in history.begun):
            yield _told(place, account)


def _ghosts(account: Account, rows: Rows) -> Iterator[str]:
    known = {history.key for history in account.histories.values()}
    known |= {end.key for end in rows.ends.values()}
    yield from sorted(account.rolled_back & known)
