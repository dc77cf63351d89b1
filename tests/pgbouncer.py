"""A PgBouncer of the tests' own, in front of their PostgreSQL, in transaction mode."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import nobody

START_SECONDS = 20

CONFIG = """
[databases]
* = host={server.host} port={server.port} user={server.user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
"""


def find():
    """The program, or None where it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@contextmanager
def in_front_of(connection, folder, *, port=None, size=20):
    """What DATABASES says of the same database beyond PgBouncer, which makes so many sessions."""
    connection.ensure_connection()
    server = connection.connection.info
    port = port or free_port()
    file = Path(folder) / "pgbouncer.ini"
    file.write_text(CONFIG.format(server=server, port=port, size=size))
    process = subprocess.Popen([find(), "-q", file], cwd="/", **account_for(server.host, file))
    try:
        wait_for(port)
        yield {"HOST": "127.0.0.1", "PORT": port, "DISABLE_SERVER_SIDE_CURSORS": True}
    finally:
        process.terminate()
        process.wait()


def account_for(host, file):
    """What makes Popen act as one who may reach the server: PgBouncer refuses root."""
    if os.geteuid():
        return {}
    for folder in (file.parent, *file.parent.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    file.chmod(0o644)
    if not host.startswith("/"):
        return nobody()
    owner = Path(host).stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end, "PgBouncer does not answer"
            time.sleep(0.02)
