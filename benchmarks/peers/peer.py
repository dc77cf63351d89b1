"""Peer: what the harness knows of a queue, and what it asks of it."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.places import CACHE

#: How a worker is run: as its documentation starts it, and with the best settings that we know.
VARIANTS = ("default", "best")
PSYCOPG = "psycopg[binary,pool]==3.3.9"
#: The delay of the jobs that are to stay in the queue.
LATER_SECONDS = 86_400


class Peer:
    """One queue. The first verbs run in the harness, the others in the peer's environment.

    A module of a peer imports the peer's own package inside the verbs: the harness has none.
    """

    name: ClassVar[str]
    #: What pip is to install, exact versions.
    requirements: ClassVar[Sequence[str]] = ()
    #: Whether the queue is in PostgreSQL, so that statements can be counted, and tables copied.
    is_in_postgresql = True
    #: Whether many jobs can be dispatched at once through its public interface.
    has_bulk = True
    #: Whether it is a worker that somebody would run, so that its latency and memory say something.
    is_worker = True
    #: SQL that counts the jobs that are not finished.
    left_sql: ClassVar[str] = ""

    # In the harness

    def why_not(self) -> str | None:
        """Return why this peer cannot be measured here, or None."""
        return None

    def install(self) -> None:
        """Make the environment, unless it is there."""
        stamp = self.folder / "installed"
        wanted = hashlib.sha256(repr(self.requirements).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
        pip = [self.bin("python"), "-m", "pip", "install", "-qq"]
        subprocess.run([*pip, "--disable-pip-version-check", *self.requirements], check=True)
        stamp.write_text(wanted)

    def versions(self) -> dict[str, str]:
        """Return what is installed, by the names of the requirements."""
        listing = subprocess.run(
            [self.bin("python"), "-m", "pip", "list", "--format=json"],
            capture_output=True,
            check=True,
        ).stdout
        wanted = {requirement.split("[")[0].split("=")[0] for requirement in self.requirements}
        return {p["name"]: p["version"] for p in json.loads(listing) if p["name"] in wanted}

    def inside(self, verb: str, options: dict[str, Any]) -> list[str]:
        """Return the command that does a verb in the peer's environment."""
        command = [self.bin("python"), "-m", "benchmarks.inside", self.name, verb]
        return [*command, json.dumps(options)]

    def environment(self, variant: str) -> dict[str, str]:
        """Return variables of the worker's beside those that every peer gets."""
        return {}

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        """Return the commands that start a worker with so many performing processes."""
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        return CACHE / "venvs" / self.name

    def bin(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    # In the peer's environment

    def open(self) -> None:
        """Import and connect."""

    def reset(self) -> None:
        """Make the tables in an empty database."""
        raise NotImplementedError

    def enqueue(self, number: int) -> None:
        """Dispatch one job, which is committed on return."""
        raise NotImplementedError

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        """Dispatch many jobs at once, due in `delay` seconds; `urgent` ones go before others."""
        raise NotImplementedError
