"""Programs of a test's own, in its folder and under an account that is not root."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests import postgres
from tests.processes import descendants_of, end_with_parent, is_alive, send
from tests.waiting import until

PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
STOP_SECONDS = 10
#: Characters of the log that a test which fails shows.
TOLD = 5000


def find(name):
    """The path of a program, or None where it is not installed."""
    return shutil.which(name, path=PATH)


@contextmanager
def programs_of(account):
    """Programs that this account runs, in a folder that goes with them."""
    place = postgres.fastest_place()
    with tempfile.TemporaryDirectory(prefix="schwartz_distribution_", dir=place) as name:
        programs = Programs(Path(name), account)
        try:
            yield programs
        finally:
            programs.end()
            print(programs.log.read_text(errors="replace")[-TOLD:])  # shown where a test fails


class Programs:
    """Starts programs, all of whose words go to `log`."""

    def __init__(self, folder, account):
        self.folder, self.log = folder, folder / "log"
        self._account = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam(account)
            self._account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            postgres.give(folder, self._account)
        self._started = []

    def run(self, *command):
        """Run a program to its end, which has to be a good one."""
        assert self._popen(command).wait(120) == 0, self.log.read_text()

    def start(self, *command, ending=signal.SIGTERM):
        """Start a program. `ending` is the signal that ends it, also when the tests are gone."""
        process = self._popen(command, preexec_fn=partial(end_with_parent, ending))
        self._started.append((process, ending))
        return process

    def _popen(self, command, **options):
        with self.log.open("a") as output:
            return subprocess.Popen(
                list(map(str, command)),
                cwd=self.folder,
                env={"PATH": PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self._account,
                **options,
            )

    def end(self):
        for process, ending in reversed(self._started):
            process.send_signal(ending)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        kill(*processes_of(self.folder))
        for process, _ in self._started:
            process.wait()


def kill(*pids):
    """SIGKILL for these processes and all that descend from them, as when a host is gone."""
    family = [*pids, *(one for pid in pids for one in descendants_of(pid))]
    for pid in family:
        send(pid, signal.SIGKILL)
    until(lambda: not any(map(is_alive, family)))


def processes_of(folder):
    """Those whose command line names the folder; whoever started them may be gone."""
    return [
        int(line.parent.name)
        for line in Path("/proc").glob("[0-9]*/cmdline")
        if names(line, folder)
    ]


def names(command_line, folder):
    with suppress(OSError):
        return str(folder) in command_line.read_text(errors="replace")
    return False
