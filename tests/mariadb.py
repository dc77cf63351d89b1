"""The MariaDB of the tests: one that is named, one that runs and lets us in, or their own.

DJANGO_SCHWARTZ_TEST_MYSQL names it: mysql://user:password@host:port, mysql://user@?socket=/path,
mysql://user@?hosts=host:port,host:port, or "none". What was found or started is written there, so
that child processes use the same server.

A server has to know the time zones, as Django asks of it. There is no package of MariaDB's binaries
on PyPI: where it is not installed, its tests are skipped. A server of their own is kept as
tests/postgres.py keeps its.
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
from urllib.parse import parse_qs, unquote, urlsplit

from tests.postgres import LOOK_SECONDS, START_SECONDS, fastest_place, give, nobody, stop
from tests.postgres import STOP_SECONDS as KEEPER_SECONDS

VARIABLE = "DJANGO_SCHWARTZ_TEST_MYSQL"
OLDEST_VERSION = (10, 11)  # the newest Django's
USUAL_PLACES = ("?socket=/run/mysqld/mysqld.sock", "?socket=/tmp/mysql.sock", "127.0.0.1:3306")
ZONES = ("UTC", "Europe/Berlin")
ROOT = Path(__file__).parent.parent
KEEP = "import sys; sys.path.insert(0, sys.argv[1]); from tests import mariadb; mariadb.keep()"
PROGRAMS = ("mariadb-install-db", "mariadb-tzinfo-to-sql", "mariadbd")
INSTALL_OPTIONS = ("--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal")
SERVER_OPTIONS = (
    *("--no-defaults", "--skip-networking", "--skip-log-bin", "--innodb-buffer-pool-size=64M"),
    *(
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--character-set-server=utf8mb4",
    ),
)


def use_any_driver() -> bool:
    """Take PyMySQL for mysqlclient where that is not installed; whether there is either."""
    if find_spec("MySQLdb"):
        return True
    if find_spec("pymysql") is None:
        return False
    import pymysql

    pymysql.install_as_MySQLdb()
    return True


def driver_options() -> dict[str, Any]:
    """PyMySQL prepares for TLS at each connection, which takes longer than all else of it."""
    return {"ssl_disabled": True} if is_pymysql() else {}


def is_pymysql() -> bool:
    use_any_driver()
    import MySQLdb

    return MySQLdb.__name__ == "pymysql"


@dataclass(frozen=True)
class Server:
    """Where a server is; `description` says how it was found, for the head of the test report."""

    url: str
    description: str

    @property
    def settings(self) -> dict[str, Any]:
        """Return the entry of Django's DATABASES."""
        parts = urlsplit(self.url)
        query = parse_qs(parts.query)
        [place] = query.get("socket") or query.get("hosts") or [parts.hostname or ""]
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": parts.path.strip("/"),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": place,
            "PORT": parts.port or "",
            "OPTIONS": driver_options(),
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
            self.keeper.wait(KEEPER_SECONDS)
        except subprocess.TimeoutExpired:  # a forked child holds the pipe open
            self.keeper.terminate()
            self.keeper.wait()
        atexit.unregister(self.stop)


def find_or_start() -> Server | None:
    """Return the server to test with, or None where there is none or none is wanted."""
    name = os.environ.get(VARIABLE, "")
    if name == "none" or not use_any_driver():
        return None
    if name:
        return Server(name, f"MariaDB as {VARIABLE} names it")
    server = running() or start()
    if server:
        os.environ[VARIABLE] = server.url
    return server


def running() -> Server | None:
    """Return the server on the usual sockets and port that lets us create databases."""
    for place in USUAL_PLACES:
        for user in ("", "root"):
            url = f"mysql://{user}@{place}"
            if version := version_if_usable(url):
                return Server(
                    url, f"MariaDB {version}, running at {place.removeprefix('?socket=')}"
                )
    return None


def version_if_usable(url: str) -> str | None:
    """Return the version of a MariaDB where Django can work and we can create databases."""
    import MySQLdb

    given = Server(url, "").settings
    where = {"unix_socket": given["HOST"]} if "/" in given["HOST"] else {"host": given["HOST"]}
    user = {"user": given["USER"]} if given["USER"] else {}
    try:
        connection = MySQLdb.connect(**where, **user, connect_timeout=2)
    except MySQLdb.Error:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        version, _, kind = cursor.fetchone()[0].partition("-")
        cursor.execute("SHOW GRANTS")
        may_create = any("ALL PRIVILEGES ON *.*" in grant for (grant,) in cursor.fetchall())
        cursor.execute("SELECT CONVERT_TZ('2001-01-01', %s, %s) IS NOT NULL", ZONES)
        [knows_zones] = cursor.fetchone()
    connection.close()
    is_new_enough = tuple(map(int, version.split(".")[:2])) >= OLDEST_VERSION
    is_usable = may_create and knows_zones and is_new_enough and kind.startswith("MariaDB")
    return version if is_usable else None


def programs() -> dict[str, str]:
    """Return the paths of MariaDB's programs, by name; nothing unless all are installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = {name: shutil.which(name, path=path) for name in PROGRAMS}
    return found if all(found.values()) else {}


def start() -> OwnServer | None:
    """Start a server, or return None: standard error says why, where it is installed."""
    if not programs():
        return None
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", KEEP, ROOT],
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
    url = f"mysql://root@?socket={folder}/socket"
    server = OwnServer(
        url, f"MariaDB of their own, from {programs()['mariadbd']}", Path(folder), keeper
    )
    atexit.register(server.stop)
    return server


def keep() -> None:
    """Run a server until standard input ends; print its folder when it is up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="schwartz_mariadb_", dir=fastest_place()) as name:
        folder = Path(name)
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = nobody()
            give(folder, account)
        with serving(folder, account):
            print(folder, flush=True)
            sys.stdin.read()


@contextmanager
def serving(folder: Path, account: dict[str, Any]) -> Iterator[None]:
    """Make a database in the folder and serve it: no network, and no care for its data."""
    paths = programs()
    log, data, zones = folder / "log", folder / "data", folder / "zones.sql"
    zones.write_text("".join(map(zone_as_sql, ZONES)))
    zones.chmod(0o644)
    with log.open("w") as output:
        run = partial(
            subprocess.Popen,
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **account,
        )
        at = f"--datadir={data}"
        install = paths["mariadb-install-db"]
        made = run([install, *INSTALL_OPTIONS, at, f"--extra-file={zones}"])
        if made.wait():
            sys.exit(log.read_text())
        server = run([paths["mariadbd"], *SERVER_OPTIONS, at, f"--socket={folder / 'socket'}"])
    try:
        if not is_ready(server, log):
            sys.exit(log.read_text())
        yield
    finally:
        stop(server)


def zone_as_sql(zone: str) -> str:
    program = [programs()["mariadb-tzinfo-to-sql"], "--skip-write-binlog"]
    command = [*program, f"/usr/share/zoneinfo/{zone}", zone]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def is_ready(server: subprocess.Popen[bytes], log: Path) -> bool:
    """Wait until its log says so; return False when it has ended or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if "ready for connections" in log.read_text(errors="replace"):
            return True
        time.sleep(LOOK_SECONDS)
    return False
