"""The account: what the ledger says of each job, attempt by attempt."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from django_schwartz.models.outcome import Verdict
from django_schwartz.torture.ledger import Event, Line
from django_schwartz.torture.rows import Place

#: Verdicts after which a job is rightly performed again.
COMES_BACK = {Verdict.RETRY, Verdict.DECLINED}


@dataclass
class History:
    """What became of one job: where it began, and which outcomes were recorded."""

    key: str
    begun: list[Line] = field(default_factory=list)
    recorded: list[Line] = field(default_factory=list)

    @property
    def departures(self) -> list[Line]:
        return [line for line in self.recorded if line["status"] is not None]

    def comes_back_after(self, grabs: int) -> bool:
        """Whether the attempt with that number had an outcome that lets the job come back."""
        return any(
            line["grabs"] == grabs and line["verdict"] in COMES_BACK for line in self.recorded
        )

    def repeats(self) -> list[tuple[Line, Line]]:
        """Attempts without an outcome, each with the one that repeats it.

        In the order of their grabs: what a frozen worker had grabbed it may begin after the repeat.
        """
        begun = sorted(self.begun, key=lambda line: line["grabs"])
        pairs = pairwise(begun)
        return [pair for pair in pairs if not self.comes_back_after(pair[0]["grabs"])]


@dataclass
class Account:
    lines: list[Line]
    histories: dict[Place, History] = field(default_factory=dict)
    #: Jobs whose dispatch was acknowledged.
    dispatched: dict[Place, str] = field(default_factory=dict)
    duplicates: int = 0
    unknown: set[str] = field(default_factory=set)
    rolled_back: set[str] = field(default_factory=set)
    faults: list[Line] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)
    leases_lost: int = 0

    @property
    def gap(self) -> str:
        """What did not happen at all, so that nothing can be said; "" if all did."""
        if not self.histories:
            return "no job was performed"
        return "" if self.faults else "there was no fault"


def account_of(lines: list[Line]) -> Account:
    account, by_event = Account(lines), defaultdict(list)
    for line in lines:
        by_event[line.event].append(line)
    for line in by_event[Event.DISPATCHED]:
        if line["is_duplicate"]:
            account.duplicates += 1
        else:
            account.dispatched[_place(line)] = line.key
    for event, name in ((Event.BEGUN, "begun"), (Event.RECORDED, "recorded")):
        for line in by_event[event]:
            history = account.histories.setdefault(_place(line), History(line.key))
            getattr(history, name).append(line)
    account.unknown = {line.key for line in by_event[Event.UNKNOWN]}
    account.rolled_back = {line.key for line in by_event[Event.ROLLED_BACK]}
    account.faults = by_event[Event.FAULT]
    account.pids = {line.pid for line in by_event[Event.STARTED]}
    account.leases_lost = len(by_event[Event.LEASE_LOST])
    return account


def _place(line: Line) -> Place:
    alias, jobid = line["place"]
    return alias, jobid
