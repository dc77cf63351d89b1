"""The storm: load and faults for a while, then calm until the queue is empty, then the audit."""

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.torture import rows
from django_schwartz.torture.account import Account, account_of
from django_schwartz.torture.audit import Audit, audit
from django_schwartz.torture.faults import Faults
from django_schwartz.torture.hosts import Host, Sightings, library_of_wrong_clocks
from django_schwartz.torture.ledger import Ledger
from django_schwartz.torture.load import Load
from django_schwartz.torture.recorder import record_in
from django_schwartz.torture.rules import Rules

#: Seconds between two looks at what is to be mended, or is left.
LOOK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Durations are seconds."""

    databases: list[str]
    seed: int
    seconds: float
    jobs: int
    hosts: int = 2
    processes: int = 2
    threads: int = 4
    pause: float = 0.3
    lease_seconds: int = 4
    drain_seconds: float = 180
    restart_command: str = ""
    skew: int = 0
    plant: str = ""


class Storm:
    """One run, whose ledger and whose hosts' log are in `folder`."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._ledger = Ledger(folder / "ledger")
        self._log = (folder / "log").open("ab")
        self._client = TheSchwartz(plan.databases)
        self._hosts = [self._host(number) for number in range(plan.hosts)]
        self._load = Load(
            self._client,
            self._ledger,
            random.Random(plan.seed),  # noqa: S311 - to be repeated
            rate=plan.jobs / plan.seconds,
        )
        self._faults = Faults(
            self._hosts,
            Sightings(self._ledger),
            self._ledger,
            random.Random(plan.seed + 1),  # noqa: S311
            lease_seconds=plan.lease_seconds,
            restart_command=plan.restart_command,
        )

    def _host(self, number: int) -> Host:
        """A host; every second one has a wrong clock."""
        plan, library = self._plan, library_of_wrong_clocks()
        skew = plan.skew * (number % 2) if library else 0
        rules = Rules(
            settings=os.environ["DJANGO_SETTINGS_MODULE"],
            ledger=str(self._ledger.path),
            databases=plan.databases,
            lease_seconds=plan.lease_seconds,
            keeper=os.getpid(),
            plant=plan.plant,
            skew=skew,
        )
        return Host(rules, self._log, plan.processes, plan.threads, library)

    def run(self) -> tuple[Account, Audit]:
        """Removes its rows at the end or if it is interrupted, and those that earlier runs left."""
        rows.remove(self._plan.databases)
        record_in(self._ledger)
        try:
            return self._judged()
        except KeyboardInterrupt:
            rows.remove(self._plan.databases, account_of(self._ledger.lines()).pids)
            raise

    def _judged(self) -> tuple[Account, Audit]:
        """What came of it, when its hosts have ended."""
        try:
            self._rage()
            self._drain()
        finally:
            self._end()
        account = account_of(self._ledger.lines())
        found = audit(account, rows.read(self._plan.databases))
        rows.remove(self._plan.databases, account.pids)
        return account, found

    def _rage(self) -> None:
        self._faults.mend()
        self._load.start()
        fault_at = time.monotonic()
        end = fault_at + self._plan.seconds
        while time.monotonic() < end:
            self._faults.mend()
            if time.monotonic() >= fault_at:
                self._faults.provoke()
                fault_at = time.monotonic() + self._plan.pause
            time.sleep(min(LOOK_SECONDS, self._plan.pause))
        self._faults.thaw()  # a frozen worker may hold a lock that the load waits for
        self._load.stop()
        if self._load.error:
            raise self._load.error

    def _drain(self) -> None:
        end = time.monotonic() + self._plan.drain_seconds
        while time.monotonic() < end and self._is_anything_left():
            self._faults.mend()
            time.sleep(LOOK_SECONDS)

    def _is_anything_left(self) -> bool:
        try:
            return any(rows.queued(alias).exists() for alias in self._plan.databases)
        except AnyDatabaseError:
            connections.close_all()
            return True

    def _end(self) -> None:
        connections.close_all()  # an interrupt may have left a lock held
        self._load.stop()
        self._faults.thaw()
        for host in self._hosts:
            host.end()
        self._log.close()
