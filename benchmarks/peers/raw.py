"""The limit: a loop with psycopg on django_schwartz's own tables, which promises nothing."""

import time
from collections.abc import Sequence
from functools import cached_property

from benchmarks.peers.django_schwartz import DjangoSchwartz

#: django_schwartz's migrations make the row.
FUNCID = "SELECT funcid FROM django_schwartz_funcmap WHERE funcname = 'Note'"
COLUMNS = "funcid, arg, insert_time, run_after, grabbed_until, priority"


class Raw(DjangoSchwartz):
    """Default: grab one, DELETE it, two commits. Best: grab a hundred, one DELETE, two commits."""

    name = "raw"
    is_worker = False

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        batch = "100" if variant == "best" else "1"
        return [[self.bin("python"), "-m", "benchmarks.jobs.raw", batch]] * processes

    def versions(self) -> dict[str, str]:
        return super(DjangoSchwartz, self).versions()

    def open(self) -> None:
        import psycopg

        super().open()
        self.connection = psycopg.connect(autocommit=True)

    @cached_property
    def funcid(self) -> int:
        return self.connection.execute(FUNCID).fetchone()[0]

    def enqueue(self, number: int) -> None:
        now = int(time.time())
        row = (self.funcid, str(number).encode(), now, now, 0, None)
        self.connection.execute(
            f"INSERT INTO django_schwartz_job ({COLUMNS})"
            " VALUES (%s, %s, %s, %s, %s, %s) RETURNING jobid",
            row,
        ).fetchone()

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        funcid, now, priority = self.funcid, int(time.time()), 9 if urgent else None
        with (
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY django_schwartz_job ({COLUMNS}) FROM STDIN") as copy,
        ):
            for number in numbers:
                arg = "\\x" + str(number).encode().hex()
                copy.write_row((funcid, arg, now, now + delay, 0, priority))
