"""A process that cannot start is tried again, later and later, and never given up."""

import os
import signal
import time

import pytest

from django_schwartz.models import Error, Job
from tests.conftest import ROOT
from tests.processes import descendants_of
from tests.waiting import until

pytestmark = pytest.mark.only_on("sqlite")

#: Workers that cannot be imported by what the supervisor starts, as long as a file is there.
BROKEN = """
import sys
from pathlib import Path
if sys.argv[0] == "-c" and Path({broken!r}).exists():
    with Path({starts!r}).open("a") as starts:
        starts.write("started\\n")
    raise RuntimeError("broken")
"""


@pytest.fixture
def app(tmp_path):
    """A folder with an app of broken workers; gives it."""
    (tmp_path / "frail").mkdir()
    (tmp_path / "frail" / "__init__.py").touch()
    (tmp_path / "broken").touch()
    source = BROKEN.format(broken=str(tmp_path / "broken"), starts=str(tmp_path / "starts"))
    (tmp_path / "frail" / "workers.py").write_text(source)
    return tmp_path


def test_a_crash_loop_at_the_start_is_slowed_down_and_ends_when_its_cause_is_gone(
    client, start, app
):
    handle = client.dispatch_async("Note")

    running = start(DJANGO_SCHWARTZ_TEST_APP="frail", PYTHONPATH=str(app))
    running.wait_for("could not be started, trying again", times=3)
    starts = (app / "starts").read_text().count("started")
    (app / "broken").unlink()
    until(lambda: handle.exit_status == 0)

    assert starts <= 4
    assert handle.failures == 0
    assert running.stop() == 0, running.output


#: Workers whose processes end before they are at work, as long as a file is there.
FRAIL = """
import os
from pathlib import Path
os.register_at_fork(after_in_child=lambda: Path({broken!r}).exists() and os._exit(1))
"""


@pytest.mark.parametrize("source", [BROKEN, FRAIL], ids=["no process", "dead processes"])
def test_while_no_process_can_be_started_the_healthcheck_grows_old(start, app, source):
    broken, starts, file = (app / name for name in ("broken", "starts", "health"))
    source = source.format(broken=str(broken), starts=str(starts))
    (app / "frail" / "workers.py").write_text(source)

    running = start("--healthcheck", file, DJANGO_SCHWARTZ_TEST_APP="frail", PYTHONPATH=str(app))
    until(lambda: file.exists() and time.time() - file.stat().st_mtime > 5)
    broken.unlink()
    until(lambda: time.time() - file.stat().st_mtime < 1.5)

    assert running.stop() == 0, running.output


def test_a_project_that_starts_threads_when_it_is_imported_is_imported_by_each_process(
    client, start, tmp_path
):
    (tmp_path / "threaded").mkdir()
    (tmp_path / "threaded" / "__init__.py").touch()
    (tmp_path / "threaded" / "workers.py").write_text(THREADED)

    running = start(DJANGO_SCHWARTZ_TEST_APP="threaded", PYTHONPATH=str(tmp_path))
    handle = client.dispatch_async("Alive", using=client.databases.aliases[0])
    until(lambda: handle.exit_status == 0)

    assert running.stop() == 0, running.output


#: A thread that starts with the import, and a worker that fails where there is no such thread.
THREADED = """
import threading
from django_schwartz import Worker, register

thread = threading.Thread(target=threading.Event().wait, daemon=True)
thread.start()

@register
class Alive(Worker):
    keep_exit_status_for = 3600

    def work(self, job):
        assert thread.is_alive()
        job.completed()
"""


def test_a_connection_that_is_opened_when_the_project_is_imported_is_shared_by_no_processes(
    client, start, tmp_path
):
    (tmp_path / "querying").mkdir()
    (tmp_path / "querying" / "__init__.py").touch()
    (tmp_path / "querying" / "workers.py").write_text(QUERYING)
    client.dispatch_jobs(Job(funcname="Ask") for _ in range(200))

    running = start(
        "--processes=2",
        "--until-done",
        DJANGO_SCHWARTZ_TEST_APP="querying",
        PYTHONPATH=str(tmp_path),
    )

    assert running.end() == 0, running.output
    assert not Job.objects.exists()
    assert not Error.objects.exists()


#: Connections that are made with the import, and a worker that uses its own.
QUERYING = """
from contextlib import suppress
from django.db import connections
from django_schwartz import Worker, register

for connection in connections.all():
    with suppress(Exception):
        connection.ensure_connection()

@register
class Ask(Worker):
    def work(self, job):
        assert job.driver.connection not in inherited
        with job.driver.cursor() as cursor:
            cursor.execute("SELECT %s", [job.jobid])
            assert cursor.fetchone() == (job.jobid,)
        job.completed()

inherited = [connection.connection for connection in connections.all() if connection.connection]
assert inherited
"""


@pytest.mark.parametrize("app", ["tests.engine.deadly", "threaded"])
def test_a_program_without_a_guard_that_finds_its_modules_itself_is_run_but_once(
    client, start, tmp_path, app
):
    (tmp_path / "threaded").mkdir()
    (tmp_path / "threaded" / "__init__.py").touch()
    (tmp_path / "threaded" / "workers.py").write_text(THREADED)
    program = tmp_path / "manage.py"
    program.write_text(UNGUARDED.format(path=[str(tmp_path), str(ROOT)]))

    running = start(program=[program], PYTHONPATH="", DJANGO_SCHWARTZ_TEST_APP=app)
    handle = client.dispatch_async("Note")
    until(lambda: handle.exit_status == 0)
    servers = running.titled("fork server")

    assert len(servers) == (0 if app == "threaded" else 1)
    assert running.stop() == 0, running.output
    assert running.output.count("the program runs") == 1


UNGUARDED = """
import sys
from django.core.management import execute_from_command_line

print("the program runs", flush=True)
sys.path[:0] = {path}
execute_from_command_line(sys.argv)
"""


def test_worker_processes_are_forks(client, start):
    running = start("--processes", "2")
    until(lambda: len(running.children) == 2)

    assert len(running.titled("fork server")) == 1
    assert running.stop() == 0, running.output


def test_when_the_fork_server_is_killed_its_forks_finish_and_others_take_their_places(
    client, start, sleeper
):
    running = start("--processes", "2")
    handle, begun = sleeper(2)
    pid = begun()
    before = running.children

    [server] = running.titled("fork server")
    os.kill(server, signal.SIGKILL)
    until(lambda: handle.exit_status == 0)
    until(lambda: len(running.children) == 2 and not set(before) & set(running.children))
    another, _ = sleeper(0)
    until(lambda: another.exit_status == 0)

    assert pid in before
    assert handle.failures == another.failures == 0
    assert running.stop() == 0, running.output


def test_sigterm_and_sighup_to_a_whole_group_end_it_in_order(client, start, sleeper):
    running = start("--processes", "2")
    handle, begun = sleeper(2)
    begun()

    for pid in descendants_of(running.process.pid):
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGTERM)
    running.send_signal(signal.SIGTERM)

    assert running.end() == 0, running.output
    assert handle.exit_status == 0
    assert handle.failures == 0
