"""Worker processes: real `manage.py runschwartz` children, told to stop as an init system does."""

import os
import subprocess
import sys
from pathlib import Path

SHUTDOWN_SECONDS = 20
LAST_LINES = 15
MANAGE_PY = Path(__file__).resolve().parent.parent / "manage.py"
RUNSCHWARTZ = [
    sys.executable,
    str(MANAGE_PY),
    "runschwartz",
    "--processes=0",
    "--no-reload",
    "--delay=0.2",
]


class WorkerProcesses:
    """So many workers inside a `with` block. What they print goes to the file log."""

    def __init__(self, count: int, *, mail_server: str, log: Path) -> None:
        self.count = count
        self.env = os.environ | {"MAIL_SERVER": mail_server}
        self.log = log
        self.children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "WorkerProcesses":
        with self.log.open("wb") as log:
            for _ in range(self.count):
                self.children.append(self.start(log.fileno()))
        return self

    def start(self, log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            RUNSCHWARTZ,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Not in the terminal's group: there Ctrl-C would be a first signal to them and
            # __exit__'s a second, at which they drop the job they have in hand.
            process_group=0,
        )

    def __exit__(self, *exception: object) -> None:
        for child in self.children:
            child.terminate()
        try:
            for child in self.children:
                child.wait(SHUTDOWN_SECONDS)
        finally:
            for child in self.children:
                child.kill()

    def have_died(self) -> bool:
        """Whether one has ended though nobody told it to."""
        return any(child.poll() is not None for child in self.children)

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])
