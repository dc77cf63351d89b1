"""MySQL and MariaDB: the portable grab, for their SKIP LOCKED locks every candidate in order."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import Error, IntegrityError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import OrderBy

from django_schwartz.dialects.portable import INSERTED, Dialect, Doubt, Inserted, Lease, Row
from django_schwartz.transactions import may_be_rolled_back

if TYPE_CHECKING:
    from django_schwartz.models import Job, JobQuerySet

#: Bytes of a statement that every server takes.
SMALL_PACKET = 2**20
DUPLICATE_ENTRY = 1062
NO_TABLE = 1146
#: In the status of the server that comes with each answer.
IN_TRANSACTION = 1
#: The variable's name but in MariaDB before 11.1.
ISOLATION = "transaction_isolation"


class MySQL(Dialect):
    # Not UNIX_TIMESTAMP(NOW(6)): in the server's time zone, an hour of autumn comes twice.
    now = "TIMESTAMPDIFF(SECOND, '1970-01-01', UTC_TIMESTAMP())"
    now_us = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"

    is_server = True
    deadlines: ClassVar = {"connect_timeout": 10}  # seconds

    #: Of the client: no connection, a lost one, one that TLS refused.
    LOST = frozenset({2002, 2003, 2004, 2005, 2006, 2012, 2013, 2026, 2055})
    #: And of the server: connections (1040, 1203, 1226), logins (1044, 1045, 1129, 1130), no such
    #: database or table (1049, 1146), a Galera node that is alone (1047), memory and threads (1037,
    #: 1041, 1135), the disk (1021, 1030, 1114), shut down or cut off (1053, 1077, 1079, 1152, 1158
    #: to 1161, 1184, 1927, 4031), read-only (1290, 1792, 1836).
    UNAVAILABLE = LOST | {
        *(1021, 1030, 1037, 1040, 1041, 1044, 1045, 1047, 1049, 1053, 1077, 1079, 1114, 1129, 1130),
        *(1135, 1146, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1290, 1792, 1836, 1927, 4031),
    }
    #: Written since it was read, deadlock; of Galera, that another node was faster.
    DEADLOCK = frozenset({1020, 1213})
    #: And a lock that is not had in time, a table that was just altered.
    PASSING = DEADLOCK | {1205, 1412}

    def in_turn(self, candidates: "JobQuerySet", lease: Lease) -> "Iterable[Job]":
        """As many of each function, from the index and in its order, and then the first of those.

        In one look at several functions, the whole backlog would be sorted.
        """
        ranking = next(iter(candidates.query.order_by), None)
        if len(lease.seconds) == 1 or not isinstance(ranking, OrderBy):
            return candidates
        limit, all_of_one = candidates.query.high_mark, candidates.all()
        all_of_one.query.clear_limits()
        of_one = all_of_one.annotate(rank_=ranking.expression).filter(func_id=-1)[:limit]
        sql, (*params, _) = of_one.query.get_compiler(using=candidates.db).as_sql()
        looks = " UNION ALL ".join([f"({sql})"] * len(lease.seconds))
        return candidates.raw(
            f"{looks} ORDER BY rank_ DESC, run_after, jobid LIMIT {limit}",
            [value for funcid in lease.seconds for value in (*params, funcid)],
        )

    @staticmethod
    def _take(job: "Job", lease: Lease) -> bool:
        try:
            return Dialect._take(job, lease)
        except OperationalError as error:
            if _code(error) not in MySQL.PASSING or may_be_rolled_back(job.driver):
                raise
            return False  # somebody else is at it

    def insert(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> "list[Inserted | None]":
        """As Dialect.insert, in one statement where there are no duplicates.

        A duplicate makes its statement void, though not the transaction: each half is tried then.
        """
        if self._may_go_together(jobs, rows):
            try:
                return self.again(jobs.db, partial(self._insert_all, jobs, rows))
            except IntegrityError as error:
                if len(rows) == 1:
                    _require_duplicate(error)
                    return [None]
        half = len(rows) // 2
        return [*self.insert(jobs, rows[:half]), *self.insert(jobs, rows[half:])]

    def _insert_all(self, jobs: "JobQuerySet", rows: Sequence[Row]) -> "list[Inserted | None]":
        if not _is_mariadb(jobs):
            return super().insert(jobs, rows)
        sql, params = self._insert_sql(jobs, rows)
        with connections[jobs.db].cursor() as cursor:
            cursor.execute(f"{sql} RETURNING jobid, insert_time, run_after, dispatched_at", params)
            # A node of Galera's that lost to another, and tried again by itself, tells of both.
            return [Inserted(*row) for row in cursor.fetchall()[-len(rows) :]]

    @staticmethod
    def _may_go_together(jobs: "JobQuerySet", rows: Sequence[Row]) -> bool:
        """Whether one statement takes the rows. Raises ValueError for one row that none takes."""
        if len(rows) > 1 and not _is_mariadb(jobs):
            return False
        size = sum(map(_most_bytes, rows))
        if size <= SMALL_PACKET or size <= (most := _max_allowed_packet(jobs.db)):
            return True
        if len(rows) == 1:
            raise ValueError(
                f"The arg of {len(rows[0][INSERTED.index('arg')]):,} bytes may be more than the"
                f" server takes: its max_allowed_packet is {most:,}."
            )
        return False

    def is_unavailable(self, connection: BaseDatabaseWrapper, error: Error) -> bool:
        if code := _code(error):
            return code in self.UNAVAILABLE
        return super().is_unavailable(connection, error)

    def fileno(self, connection: BaseDatabaseWrapper) -> int | None:
        # PyMySQL's connections do not tell it.
        own = getattr(connection.connection, "_sock", None)
        return super().fileno(connection) if own is None else int(own.fileno())

    def is_in_transaction(self, connection: BaseDatabaseWrapper) -> bool:
        # Only PyMySQL tells.
        return bool(getattr(connection.connection, "server_status", 0) & IN_TRANSACTION)

    def is_missing_table(self, error: Error) -> bool:
        return _code(error) == NO_TABLE

    def is_passing(self, error: Error) -> bool:
        return _code(error) in self.PASSING

    def is_deadlock(self, error: Error) -> bool:
        return _code(error) in self.DEADLOCK

    def doubts(self, connection: BaseDatabaseWrapper) -> Iterator[Doubt]:
        """The character set, the mode and the isolation; each by itself loses or mangles jobs."""
        charset, mode, isolation = _settings_of(connection)
        if charset != "utf8mb4":
            yield Doubt(
                "W011",
                f"its character set is {charset}, which cannot hold every message of an error",
                "ALTER DATABASE ... CHARACTER SET utf8mb4, before the tables are made.",
            )
        if "STRICT" not in mode:
            yield Doubt(
                "W012",
                "it is not in strict mode, and shortens silently what it cannot hold",
                "Add STRICT_TRANS_TABLES to the server's sql_mode.",
            )
        if isolation != "READ-COMMITTED":
            yield Doubt(
                "W013",
                f"its transactions are {isolation}: a dispatch in one may not see a function or a"
                " uniqkey that was committed since it began",
                "Leave OPTIONS['isolation_level'] at Django's default, 'read committed'.",
            )


def _code(error: Error) -> int:
    """The error's number; 0 where it has none, as of a connection that was closed here."""
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def _require_duplicate(error: IntegrityError) -> None:
    """Raise what is no uniqkey that is queued already."""
    if _code(error) != DUPLICATE_ENTRY or str(error.args[1]).endswith("PRIMARY'"):
        raise error


def _is_mariadb(jobs: "JobQuerySet") -> bool:
    """Whether there is RETURNING."""
    connection: Any = connections[jobs.db]
    return bool(connection.mysql_is_mariadb)


def _most_bytes(row: Row) -> int:
    """The bytes that a row may need in a statement, where every one of its own may be escaped."""
    texts = [value for value in row if isinstance(value, str | bytes)]
    return 512 + sum(2 * len(t if isinstance(t, bytes) else t.encode()) for t in texts)


def _max_allowed_packet(alias: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        return int(cursor.fetchone()[0])


def _settings_of(connection: BaseDatabaseWrapper) -> tuple[str, str, str]:
    """The database's character set, the session's SQL mode and isolation level."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@character_set_database, @@sql_mode")
        charset, mode = cursor.fetchone()
        cursor.execute("SHOW VARIABLES WHERE Variable_name IN ('tx_isolation', %s)", [ISOLATION])
        return charset, mode, cursor.fetchone()[1]
