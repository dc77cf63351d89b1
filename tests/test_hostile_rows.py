"""What SQL can write into the tables: no worker dies of it, and each job ends with a reason."""

import io
import pickle
import sys

import pytest
from django.db import connections

from django_schwartz.exceptions import UnknownFunction
from django_schwartz.models import FuncMap, Job, JobHandle
from tests.test_runschwartz import run_to_end

CODE = pickle.dumps(io.BytesIO)
LAUGHS = b"\x05\x0b" + b"\x02\x00\x00\x00\x20" * 4 + b"\x00\x00\x00\x00\x03" * 32
NUMBER = "9" * 5000
ESCAPES = r"\u001b]0;owned\u0007\r\nERROR forged\u2028"

BIG = "10 MB of JSON, cut short"

#: The arg, and what the job's failure then says.
ARGS = {
    "JSON cut short": (b'{"never": "closed"', "ArgUnreadable: The arg cannot be read as JSON: "),
    "JSON that is not UTF-8": (b'["\xff"]', "ArgUnreadable: The arg cannot be read as JSON: "),
    "JSON with NaN": (b"[NaN]", "ArgUnreadable: The arg cannot be read as JSON: NaN is not JSON"),
    "JSON too deep": (
        b"[" * 200_000 + b"]" * 200_000,
        "ArgUnreadable: The arg cannot be read as JSON: ",
    ),
    "JSON with a number too long": (
        f"[{NUMBER}]".encode(),
        "ArgUnreadable: The arg cannot be read as JSON: ",
    ),
    BIG: (
        b"[" + b"1," * 5_000_000,
        "ArgUnreadable: The arg cannot be read as JSON: ",
    ),
    "Storable cut short": (
        bytes.fromhex("050b0200000003"),
        "ArgUnreadable: The arg cannot be read as Perl's Storable: it is cut short",
    ),
    "Storable code": (
        bytes.fromhex("050b041a0a0178"),
        "ArgUnreadable: The arg cannot be read as Perl's Storable: CODE is not plain data",
    ),
    "Storable hook": (
        bytes.fromhex("050b13040141"),
        "ArgUnreadable: The arg cannot be read as Perl's Storable: HOOK is not plain data",
    ),
    "Storable that holds itself": (
        bytes.fromhex("050b02000000010000000000"),
        "ArgUnreadable: The arg cannot be read as Perl's Storable: it refers to itself",
    ),
    "Storable that grows without end": (
        LAUGHS,
        "ArgUnreadable: The arg cannot be read as Perl's Storable: ",
    ),
    "a pickle": (CODE, rf"RuntimeError: {CODE!r}"),
    "an empty arg": (b"", "RuntimeError: b''"),
    "no arg": (None, "RuntimeError: None"),
    "half a surrogate pair": (rb'"\ud800"', r"RuntimeError: \ud800"),
    "NUL": (rb'"a\u0000b"', r"RuntimeError: a\x00b"),
    "control characters": (
        f'"{ESCAPES}"'.encode(),
        "RuntimeError: \x1b]0;owned\x07\r\nERROR forged\u2028",
    ),
    "a megabyte of them": (b'"' + rb"\u001b" * 170_000 + b'"', "RuntimeError: \x1b\x1b"),
}
#: Other columns, in SQL; the job's arg is "as usual", and so it fails.
COLUMNS = {
    "grabs at its end": {"grabs": "2147483647"},
    "times before all time": {
        "run_after": "-9223372036854775808",
        "grabbed_until": "-9223372036854775808",
    },
    "times after all time": {
        "insert_time": "9223372036854775807",
        "started_at": "9223372036854775807",
        "scheduled_for": "-9223372036854775808",
        "dispatched_at": "9223372036854775807",
    },
    "meta with a number too long": {"meta": f"'{{\"n\": {NUMBER}}}'"},
    "a jobid below zero": {"jobid": "-1"},
    "text that is markup and a pattern": {
        "uniqkey": "'<script>'",
        "coalesce": r"'%%_\\'",
        "queue_name": "'{0}'",
    },
}
#: MariaDB refuses it.
META_TOO_DEEP = {"meta": f"'{'[' * 990}{']' * 990}'"}
#: SQLite stores any type in any column.
TYPES = {
    "an arg that is text": ({"arg": """'"as usual"'"""}, "RuntimeError: as usual"),
    "an arg that is a number": ({"arg": "1000000000000"}, "RuntimeError: 1000000000000"),
    "times that are text": ({"insert_time": "'yesterday'"}, "RuntimeError: as usual"),
    "a priority that is text": ({"priority": "'high'"}, "RuntimeError: as usual"),
    "a priority that is bytes": ({"priority": "x'00'"}, "RuntimeError: as usual"),
    "times that are fractions": ({"run_after": "1.5"}, "RuntimeError: as usual"),
}
#: Functions that no worker performs, whatever their names would name elsewhere.
FUNCNAMES = ["os.system", "subprocess.Popen", "x\nERROR forged", ""]


@pytest.fixture
def write(database):
    """Insert a job by SQL."""

    def write(funcname="Raise", **columns):
        funcid = FuncMap.objects.get_or_make(funcname, using=database).funcid
        given = {"funcid": funcid, "run_after": 0, "arg": b'"as usual"', **columns}
        names = ", ".join(given)
        values = ", ".join(x if isinstance(x, str) else "%s" for x in given.values())
        params = [x for x in given.values() if not isinstance(x, str)]
        with connections[database].cursor() as cursor:
            sql = f"INSERT INTO django_schwartz_job ({names}) VALUES ({values}) RETURNING jobid"
            cursor.execute(sql, params)
            return JobHandle(database, cursor.fetchone()[0])

    return write


@pytest.fixture
def rows(write, database):
    """The handle of each job, and what its failure is to say."""
    args = {what: ({"arg": arg}, says) for what, (arg, says) in ARGS.items()}
    if database == "mysql":
        del args[BIG]  # more than its server takes at once
    odd = COLUMNS if database == "mysql" else {**COLUMNS, "meta too deep": META_TOO_DEEP}
    columns = {what: (sql, "RuntimeError: as usual") for what, sql in odd.items()}
    types = TYPES if database == "sqlite" else {}
    hostile = {**args, **columns, **types}
    return {what: (write(**columns), says) for what, (columns, says) in hostile.items()}


def test_each_hostile_row_fails_with_a_reason_and_no_worker_dies(rows, write, client, manage):
    waiting = [write(funcname=name) for name in FUNCNAMES]
    after_them = client.dispatch_async("Note", priority=-5)

    process = manage("runschwartz", "--until-done")
    output = run_to_end(process, seconds=60)

    assert process.returncode == 0, output[-3000:]
    assert len(rows) + len(waiting) >= 24
    assert [what for what, (handle, _) in rows.items() if handle.is_pending] == []
    for what, (handle, says) in rows.items():
        assert handle.exit_status == 1, what
        assert [message.startswith(says) for message in handle.failure_log] == [True], what
    assert [handle.is_pending for handle in waiting] == [True] * len(waiting)
    assert after_them.exit_status == 0
    assert "Traceback" not in output
    assert not any(line.startswith("ERROR forged") for line in output.splitlines())
    assert Job.objects.count() == len(waiting)


@pytest.mark.parametrize("what", COLUMNS)
def test_a_row_of_odd_columns_is_grabbed_and_settled_on_every_dialect(write, client, dialect, what):
    assert_is_grabbed_and_settled(write(**COLUMNS[what]), client)


@pytest.mark.only_on("sqlite", "postgresql")
def test_a_row_whose_meta_is_too_deep_is_grabbed_and_settled(write, client, dialect):
    assert_is_grabbed_and_settled(write(**META_TOO_DEEP), client)


def assert_is_grabbed_and_settled(handle, client):
    job = client.find_job_for_workers(["Raise"])

    assert job is not None
    assert job.completed() is True
    assert not handle.is_pending


def test_a_function_named_like_a_callable_is_not_looked_up(write, client, database):
    write(funcname="antigravity.fly")
    client.can_do("Note")

    with pytest.raises(UnknownFunction):
        client.can_do("antigravity.fly")

    assert client.work_once() is False
    assert "antigravity" not in sys.modules
