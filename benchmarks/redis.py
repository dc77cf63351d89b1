"""As much of Redis as the harness needs: an empty database for a while."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

ADDRESS = os.environ.get("SCHWARTZ_BENCH_REDIS_SERVER", "127.0.0.1:6379")
DATABASES = range(15, 0, -1)


class Redis:
    """A connection to one database. Answers are numbers or lines."""

    def __init__(self, database: int) -> None:
        host, _, port = ADDRESS.rpartition(":")
        self.url = f"redis://{ADDRESS}/{database}"
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.file = self.socket.makefile("rb")
        self("SELECT", str(database))

    def __call__(self, *words: str) -> str | int:
        parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
        self.socket.sendall(f"*{len(parts)}\r\n{''.join(parts)}".encode())
        answer = self.file.readline().decode().strip()
        if answer.startswith("-"):
            raise OSError(answer)
        return int(answer[1:]) if answer.startswith(":") else answer

    def left(self) -> int:
        """Count the jobs that are queued, or on their way to a worker."""
        return int(self("LLEN", "celery")) + int(self("HLEN", "unacked"))


@contextmanager
def empty_database() -> Iterator[Redis | None]:
    """Yield an empty database that is emptied afterwards; None where there is no server or none."""
    try:
        redis = next((redis for redis in map(Redis, DATABASES) if redis("DBSIZE") == 0), None)
    except OSError:
        redis = None
    try:
        yield redis
    finally:
        if redis:
            redis("FLUSHDB")
            redis.socket.close()
