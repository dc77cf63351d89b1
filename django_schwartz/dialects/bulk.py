"""Many rows in two statements of PostgreSQL's: one reserves their numbers, the other inserts them.

So each row's number is known beforehand, and nothing has to be told of each afterwards.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.utils import CursorWrapper

from django_schwartz.dialects.portable import INSERTED, Inserted, Later, Row

if TYPE_CHECKING:
    from django_schwartz.models import JobQuerySet

#: What a list of a column's values is sent as.
ARRAYS = {
    **dict.fromkeys(INSERTED, "bigint[]"),
    **dict.fromkeys(("uniqkey", "coalesce", "queue_name"), "varchar[]"),
    "arg": "bytea[]",
    "meta": "jsonb[]",
}
#: What COPY would take for its own.
ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
#: Bytes sent at a time, about, and those of a row beside its arg.
BLOCK_BYTES, ROW_BYTES = 10_000, 100

Columns = dict[str, Sequence[Any]]


class Bulk:
    """Inserts many rows. `now`, `now_us` and `seen` are the dialect's."""

    def __init__(self, jobs: "JobQuerySet", *, now: str, now_us: str, seen: str) -> None:
        self._jobs = jobs
        # The sequence is looked for once, which takes longer than to count.
        self._reserve = (
            f"SELECT {now}, {now_us}{seen}, ARRAY("
            "WITH counter AS MATERIALIZED ("
            "SELECT pg_get_serial_sequence(%s, 'jobid')::regclass AS sequence)"
            " SELECT nextval(sequence) FROM counter, generate_series(1, %s))"
        )

    @contextmanager
    def inserting(self, rows: Sequence[Row]) -> "Iterator[list[Inserted | None]]":
        """See Dialect.inserting()."""
        with connections[self._jobs.db].cursor() as cursor:
            cursor.execute(self._reserve, [self._jobs.table, len(rows)])
            now, now_us, has_seen_idle, reserved = cursor.fetchone()
            columns = _filled(rows, now, now_us, reserved)
            inserted: list[Inserted | None] = [
                Inserted(jobid, now, run_after, now_us, has_seen_idle)
                for jobid, run_after in zip(columns["jobid"], columns["run_after"], strict=True)
            ]
            has_copy = hasattr(cursor, "copy")  # psycopg 3
            if has_copy and _is_empty(columns["uniqkey"]):
                with self._copying(cursor, columns):
                    yield inserted
            else:
                kept = self._unnest(cursor, columns)
                yield [new if new and new.jobid in kept else None for new in inserted]

    @contextmanager
    def _copying(self, cursor: Any, columns: Columns) -> Iterator[None]:
        """Send the rows. The server inserts most of them at once: while the block goes on."""
        given = {name: values for name, values in columns.items() if not _is_empty(values)}
        sql = f"COPY {self._jobs.table} ({', '.join(given)}) FROM STDIN"
        lines = map("\t".join, zip(*map(_texts, given, given.values()), strict=True))
        size = sum(len(arg or b"") for arg in columns["arg"]) // len(columns["arg"])
        at_once = BLOCK_BYTES // (ROW_BYTES + size) or 1
        with connections[self._jobs.db].wrap_database_errors, cursor.copy(sql) as copy:
            while some := list(islice(lines, at_once)):
                copy.write("\n".join([*some, ""]))
            cursor.connection.pgconn.flush()
            yield

    def _unnest(self, cursor: CursorWrapper, columns: Columns) -> set[int]:
        arrays = {name: values for name, values in columns.items() if _varies(name, values)}
        shared = {name: values[0] for name, values in columns.items() if name not in arrays}
        values = ", ".join(name if name in arrays else _constant(name) for name in columns)
        cursor.execute(
            f"INSERT INTO {self._jobs.table} ({', '.join(columns)}) SELECT {values}"
            f" FROM unnest({', '.join(f'%s::{ARRAYS[name]}' for name in arrays)})"
            f" AS given ({', '.join(arrays)}) ON CONFLICT (funcid, uniqkey) DO NOTHING"
            " RETURNING jobid",
            [*shared.values(), *map(_array, arrays, arrays.values())],
        )
        return {jobid for (jobid,) in cursor.fetchall()}


def _filled(rows: Sequence[Row], now: int, now_us: int, reserved: Sequence[int]) -> Columns:
    """The columns of the rows, with what the database is to give."""
    columns: Columns = dict(zip(INSERTED, zip(*rows, strict=True), strict=True))
    columns["jobid"] = [
        given or number for given, number in zip(columns["jobid"], reserved, strict=True)
    ]
    columns["insert_time"] = [now] * len(rows)
    columns["dispatched_at"] = [now_us] * len(rows)
    columns["run_after"] = [
        now if time is None else -(-(now_us + time) // 1_000_000) if type(time) is Later else time
        for time in columns["run_after"]
    ]
    columns["scheduled_for"] = [
        now_us + time if type(time) is Later else time for time in columns["scheduled_for"]
    ]
    return columns


def _texts(name: str, values: Sequence[Any]) -> Iterator[str]:
    """A column in COPY's words."""
    return map(_text, values) if _varies(name, values) else repeat(_text(values[0]), len(values))


def _text(value: int | bytes | str | None) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, bytes):
        return rf"\\x{bytes.hex(value)}"
    return value.translate(ESCAPED)


def _is_empty(values: Sequence[Any]) -> bool:
    return set(values) == {None}


def _varies(name: str, values: Sequence[Any]) -> bool:
    return name == "jobid" or len(set(values)) > 1


def _array(name: str, values: Sequence[Any]) -> Any:
    """A column as a parameter: of numbers the array's text, which psycopg takes longer to make."""
    if ARRAYS[name] != "bigint[]":
        return list(values)
    return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"


def _constant(name: str) -> str:
    return f"%s::{ARRAYS[name].removesuffix('[]')}"
