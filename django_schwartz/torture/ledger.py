"""The ledger: what happened, as those told to whom it happened, in a file outside the queue.

Each line is one write to the end of the file, so that the lines of all processes have one order,
and a process that is killed leaves its line whole or not at all.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Event(StrEnum):
    # told by who dispatches
    INTENT = "intent"
    DISPATCHED = "dispatched"
    UNKNOWN = "unknown"  # it raised: the job may be queued
    ROLLED_BACK = "rolled back"
    # told by who performs
    STARTED = "started"
    SESSION = "session"
    BEGUN = "begun"
    RECORDED = "recorded"
    LEASE_LOST = "lease lost"
    # told by who kills
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Line:
    """`at` is seconds of the system's monotonic clock; `key` is the job's, for all its attempts.

    `host` is the process that leads the session of the one that wrote this: see Host.
    """

    at: float
    pid: int
    host: int
    event: Event
    key: str
    details: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.details[name]


class Ledger:
    """To be written and read by any number of processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._read_to = 0

    def write(self, event: Event, key: str = "", **details: Any) -> None:
        at = round(time.monotonic(), 4)
        line = json.dumps([at, os.getpid(), os.getsid(0), event, key, details])
        os.write(self._file, line.encode() + b"\n")

    def news(self) -> list[Line]:
        """The lines since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_to += len(whole)
        return list(_lines(whole))

    def lines(self) -> list[Line]:
        """All lines."""
        return list(_lines(self.path.read_bytes()))


def _lines(text: bytes) -> Iterator[Line]:
    for line in text.splitlines():
        at, pid, host, event, key, details = json.loads(line)
        yield Line(at, pid, host, Event(event), key, details)
