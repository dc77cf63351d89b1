"""Hosts: each a `runschwartz` of its own, as on a machine of its own."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from django_schwartz.torture import kinds
from django_schwartz.torture.ledger import Event, Ledger, Line
from django_schwartz.torture.rules import Rules

#: Seconds that a host has to end in order.
SHUTDOWN_SECONDS = 15
FAKETIME = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")


@dataclass
class Host:
    """`processes` and `threads` are those of its runschwartz."""

    rules: Rules
    log: IO[bytes]
    processes: int
    threads: int
    library: Path | None = None
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def has_failed(self) -> bool:
        """Whether it ended by itself and not in order; told twice, it ends with 128 and more."""
        return self.process is not None and 0 < (self.process.poll() or 0) < 128

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def start(self) -> None:
        """Start it, in a session of its own, so that a Ctrl-C is for the torture alone."""
        self.process = subprocess.Popen(  # noqa: S603 - nothing of anybody else's
            [*_COMMAND, *self._arguments()],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _arguments(self) -> list[str]:
        names = [f"--worker={kind.funcname}" for kind in kinds.KINDS]
        numbers = {
            "processes": self.processes,
            "threads": self.threads,
            "shutdown-timeout": SHUTDOWN_SECONDS,
        }
        return [*names, *(f"--{name}={number}" for name, number in numbers.items()), "--no-reload"]

    @property
    def environment(self) -> dict[str, str]:
        """What it has more than we have."""
        environment = {
            **self.rules.as_environment(),
            "DJANGO_SETTINGS_MODULE": "django_schwartz.torture.settings",
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        }
        if self.library and self.rules.skew:
            environment |= wrong_clock(self.library, self.rules.skew)
        return environment

    def send_signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def kill_all(self) -> None:
        """End the host and all its processes at once, as a power failure does."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def end(self) -> None:
        """Have it finish what it performs."""
        if self.process is None:
            return
        self.send_signal(signal.SIGTERM)
        try:
            self.process.wait(2 * SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_all()


_COMMAND = [sys.executable, "-m", "django", "runschwartz"]


def library_of_wrong_clocks() -> Path | None:
    """Where libfaketime is installed."""
    for pattern in FAKETIME:
        if found := sorted(Path("/").glob(pattern.lstrip("/"))):
            return found[0]
    return None


def wrong_clock(library: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is ahead by that, but counts seconds as ours does.

    Its time.sleep() raises OSError: from the end of it the library takes what it never added.
    """
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+d}s",
        "DONT_FAKE_MONOTONIC": "1",
    }


@dataclass
class Sightings:
    """What is known of the processes and sessions, by the ledger."""

    ledger: Ledger
    hosts: dict[int, int] = field(default_factory=dict)
    #: By worker process, the jobs that it has begun with and that have no outcome.
    performed: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    sessions: set[tuple[str, str]] = field(default_factory=set)

    def look(self) -> None:
        for line in self.ledger.news():
            self._learn(line)

    def _learn(self, line: Line) -> None:
        if line.event is Event.STARTED:
            self.hosts[line.pid] = line.host
        elif line.event is Event.BEGUN:
            self.performed[line.pid].add(line.key)
        elif line.event in (Event.RECORDED, Event.LEASE_LOST):
            self.performed[line.pid].discard(line.key)
        elif line.event is Event.SESSION:
            self.sessions.add((line["alias"], line["name"]))

    def workers_of(self, host: Host) -> list[int]:
        """The worker processes of a host that have begun with a job, and live."""
        mine = [pid for pid, leader in self.hosts.items() if pid != leader == host.pid]
        return [pid for pid in mine if pid in self.performed and _session_of(pid) == host.pid]


def _session_of(pid: int) -> int | None:
    """The session of a process that lives: so that no number given anew is taken for it."""
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return None
