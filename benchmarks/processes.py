"""The processes of a worker: started together, measured through /proc, ended together."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.processes import end_with_parent

#: Seconds that a worker has for a graceful end.
GRACE_SECONDS = 20
TICKS = os.sysconf("SC_CLK_TCK")


class WorkerEnded(Exception):
    """The worker ended although nobody asked it to; the message is the end of its log."""


class Crew:
    """Each command leads a session of its own; whatever it starts belongs to it."""

    def __init__(
        self, commands: Sequence[Sequence[str]], env: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.leaders = [
                subprocess.Popen(
                    command,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=partial(end_with_parent, signal.SIGTERM),
                )
                for command in commands
            ]

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raise WorkerEnded if a command has ended."""
        for leader in self.leaders:
            if leader.poll() is not None:
                raise WorkerEnded(f"exit code {leader.returncode}: {tail(self.log)}")

    def stop(self) -> None:
        """Ask for a graceful end, then kill what is left of the sessions. May be called again."""
        for leader in self.leaders:
            if leader.poll() is None:
                leader.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for leader in self.leaders:
            with contextlib.suppress(subprocess.TimeoutExpired):
                leader.wait(max(0, deadline - time.monotonic()))
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for leader in self.leaders:
            leader.wait()

    def pids(self) -> list[int]:
        """Return every living process of the sessions, and their descendants elsewhere."""
        family = {leader.pid for leader in self.leaders}
        found = set()
        for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parts[2])):
            with contextlib.suppress(OSError):
                pid = int(stat.parts[2])
                state, parent, _, session, *_ = fields_of(stat)
                if state != "Z" and (int(session) in family or int(parent) in found):
                    found.add(pid)
        return sorted(found)

    def memory(self) -> tuple[float, float]:
        """Return MiB: the sum of all resident sizes, and of proportional ones (shared once).

        Without shared memory: there each job that is performed leaves its mark in our ledger.
        """
        resident = proportional = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                status, rollup = kib_of(pid, "status"), kib_of(pid, "smaps_rollup")
                resident += status["VmRSS"] - status["RssShmem"]
                proportional += rollup["Pss"] - rollup["Pss_Shmem"]
        return resident / 1024, proportional / 1024

    def cpu_seconds(self) -> float:
        """Return the processor time that all living processes have used."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                user, system = fields_of(Path(f"/proc/{pid}/stat"))[11:13]
                ticks += int(user) + int(system)
        return ticks / TICKS


def kib_of(pid: int, name: str) -> dict[str, int]:
    """Return what a file of /proc's says in KiB, by name."""
    lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    parts = [line.split() for line in lines if line.endswith(" kB")]
    return {part[0].rstrip(":"): int(part[1]) for part in parts}


def cpu_seconds_of(leader: int) -> float:
    """Return the processor time of a process, of its children, and of those that have ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = fields_of(stat)
            if stat.parts[2] == str(leader):
                ticks += sum(map(int, fields[11:15]))
            elif fields[1] == str(leader):
                ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def fields_of(stat: Path) -> list[str]:
    """Return the fields of a stat file from the third on, the state: the second may hold blanks."""
    return stat.read_text().rpartition(")")[2].split()


def tail(log: Path, characters: int = 600) -> str:
    return log.read_text(errors="replace")[-characters:].strip()
