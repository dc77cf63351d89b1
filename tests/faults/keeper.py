"""A PostgreSQL to break: kept by this module, run as a program, for as long as it has an input.

Each line of the input is a command; each gets a line of output when it is done. SIGHUP restarts the
server at once, for those who have but its number. With a library of libfaketime's as the second
argument the server has a clock of its own. With a size as the third its tables are on a disk of
that size, for which this program needs a mount namespace of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests import postgres
from tests.processes import children_of, is_alive, send
from tests.waiting import until

#: How the server is told to end.
ENDS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "crash": signal.SIGKILL}
OPTIONS = ("-c", "max_connections=40", "-c", "superuser_reserved_connections=1")


class Server:
    """A cluster in the folder, served by these binaries."""

    def __init__(
        self, binaries: Path, folder: Path, account: dict, library: str = "", size: str = ""
    ) -> None:
        self._binaries, self._folder, self._account = binaries, folder, account
        self._clock, self._faking = folder / "clock", {}
        if library:
            self.set_clock("0")
            self._faking = {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        self._log = (folder / "log").open("w")
        self._data = folder / "data"
        self._has_disk = bool(size)
        if self._has_disk:
            self._data.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", self._data]
            subprocess.run(mount, check=True)
            postgres.give(self._data, account)
        # Not the log of its transactions: a server that cannot write that ends.
        wal = ["--waldir", folder / "wal"]
        initdb = [binaries / "initdb", *postgres.INITDB_OPTIONS, *wal, "-D", self._data]
        if self._run(initdb).wait():
            sys.exit((folder / "log").read_text())
        self.up()

    def _run(self, command: list) -> subprocess.Popen:
        return subprocess.Popen(
            command,
            cwd=self._folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **self._faking},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            **self._account,
        )

    def up(self) -> None:
        command = [self._binaries / "postgres", *postgres.SERVER_OPTIONS, *OPTIONS]
        self._server = self._run([*command, "-D", self._data, "-k", self._folder])
        if not postgres.is_ready(self._server, self._data / "postmaster.pid"):
            sys.exit((self._folder / "log").read_text())

    def down(self, how: str = "fast") -> None:
        children = self._processes()
        self._server.send_signal(ENDS[how])
        self._server.wait()
        for pid in children if how == "crash" else ():
            send(pid, signal.SIGKILL)
        # Until then the memory that they share is in use.
        until(lambda: not any(map(is_alive, children)))
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def restart(self, how: str = "fast") -> None:
        self.down(how)
        self.up()

    def set_clock(self, seconds: str) -> None:
        """Have the clock be ahead by so many seconds."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"{int(seconds):+d}\n")
        new.rename(self._clock)

    def fill_disk(self) -> None:
        with (self._data / "filler").open("wb") as filler, suppress(OSError):
            while filler.write(bytes(2**16)):
                filler.flush()

    def free_disk(self) -> None:
        (self._data / "filler").unlink()

    def freeze(self) -> None:
        for pid in self._processes():
            send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._processes():
            send(pid, signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        postgres.stop(self._server)
        if self._has_disk:
            subprocess.run(["umount", self._data], check=True)

    def _processes(self) -> list[int]:
        return [self._server.pid, *children_of(self._server.pid)]


def keep(binaries: Path, library: str = "", size: str = "") -> None:
    """Serve until standard input ends; print the folder, which is the socket's too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    place = postgres.fastest_place()
    with tempfile.TemporaryDirectory(prefix="schwartz_broken_", dir=place) as name:
        folder, account = Path(name), {}
        if os.geteuid() == 0:
            account = postgres.nobody()
            if not postgres.can_run(binaries, account):
                binaries = postgres.copied(binaries, folder)
            postgres.give(folder, account)
        server = Server(binaries, folder, account, library, size)
        signal.signal(signal.SIGHUP, lambda *_: server.restart("immediate"))
        try:
            print(folder, flush=True)
            for line in sys.stdin:
                verb, *arguments = line.split()
                getattr(server, verb)(*arguments)
                print("done", flush=True)
        finally:
            server.stop()


if __name__ == "__main__":
    keep(Path(sys.argv[1]), *sys.argv[2:])
