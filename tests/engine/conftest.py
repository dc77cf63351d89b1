"""A `runschwartz` of each test's own, whose processes and log can be looked at."""

import os
import signal
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.app.models import Trace
from tests.processes import descendants_of
from tests.waiting import until


class Running:
    """A `runschwartz` and what it says, read as it comes."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self):
        return "".join(self.lines)

    @property
    def children(self):
        """The process ids of its worker processes."""
        return self.titled("worker")

    def titled(self, title):
        """The process ids of those below it whose titles begin so."""
        below = descendants_of(self.process.pid)
        return [pid for pid in below if said(pid).startswith(f"runschwartz: {title}")]

    def wait_for(self, text, times=1, seconds=30):
        until(lambda: self.output.count(text) >= times or self.process.poll() is not None, seconds)
        assert self.output.count(text) >= times, self.output

    def send_signal(self, number):
        self.process.send_signal(number)

    def end(self, seconds=40):
        """Wait for its end, and give its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self, seconds=40):
        self.send_signal(signal.SIGTERM)
        return self.end(seconds)


def said(pid):
    """The title of a process, or its command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


@pytest.fixture
def start(manage):
    """Start `runschwartz` with these options; the deadly workers are its own."""
    running = []

    def start(*options, **environment):
        environment = {"DJANGO_SCHWARTZ_TEST_APP": "tests.engine.deadly", **environment}
        process = manage("runschwartz", "--no-reload", *options, **environment)
        running.append(Running(process))
        return running[-1]

    yield start
    for one in running:
        for pid in [*one.children, one.process.pid] if one.process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)


#: Leases so short that a test can wait for their end.
SHORT_LEASES = {"DJANGO_SCHWARTZ_TEST_SETTINGS": '{"LEASE_SECONDS": 4}'}


@pytest.fixture
def start_with_short_leases(start):
    """The same with leases of four seconds."""
    return partial(start, **SHORT_LEASES)


@pytest.fixture
def sleeper(client, tmp_path):
    """Dispatch a job that takes so long; give its handle and how to wait for its process's id."""

    def dispatch(seconds, *, funcname="Sleep", name="begun", **fields):
        begun = tmp_path / name
        arg = {"begun": str(begun), "seconds": seconds}
        handle = client.dispatch_async(funcname, arg, **fields)
        return handle, lambda: (until(begun.exists), int(begun.read_text()))[1]

    return dispatch


def traces(handle):
    """What the job's performances left behind, in turn."""
    rows = Trace.objects.filter(jobid=handle.jobid).order_by("pk")
    return list(rows.values_list("what", flat=True))
