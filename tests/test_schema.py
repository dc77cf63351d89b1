"""The tables are the original's: TheSchwartz in Perl works on them by SQL of its own."""

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections

from django_schwartz import Worker, register
from django_schwartz.dialects import ServerTime
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from tests import settings
from tests.rows import end_lease, row_of

# Columns

#: The original's columns: type by database, and whether NULL is allowed.
COLUMNS = {
    "django_schwartz_funcmap": {
        "funcid": ("integer", "integer", "int(11)", False),
        "funcname": ("varchar(255)", "character varying(255)", "varchar(255)", False),
    },
    "django_schwartz_job": {
        "jobid": ("integer", "bigint", "bigint(20)", False),
        "funcid": ("integer", "integer", "int(11)", False),
        "arg": ("blob", "bytea", "longblob", True),
        "uniqkey": ("varchar(255)", "character varying(255)", "varchar(255)", True),
        "insert_time": ("bigint", "bigint", "bigint(20)", True),
        "run_after": ("bigint", "bigint", "bigint(20)", False),
        "grabbed_until": ("bigint", "bigint", "bigint(20)", False),
        "priority": ("smallint", "smallint", "smallint(6)", True),
        "coalesce": ("varchar(255)", "character varying(255)", "varchar(255)", True),
    },
    "django_schwartz_error": {
        "jobid": ("bigint", "bigint", "bigint(20)", False),
        "funcid": ("integer", "integer", "int(11)", False),
        "message": ("text", "text", "longtext", False),
        "error_time": ("bigint", "bigint", "bigint(20)", False),
    },
    "django_schwartz_exitstatus": {
        "jobid": ("bigint", "bigint", "bigint(20)", False),
        "funcid": ("integer", "integer", "int(11)", False),
        "status": ("integer", "integer", "int(11)", False),
        "completion_time": ("bigint", "bigint", "bigint(20)", False),
        "delete_after": ("bigint", "bigint", "bigint(20)", True),
    },
}


def query(database, sql, *params):
    with connections[database].cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else cursor.rowcount


def columns_of(database, table):
    """Of each column: its type, whether NULL is allowed, and whether it has a default."""
    if database == "sqlite":
        rows = query(database, f"PRAGMA table_info({table})")
        return {
            name: (kind.lower(), not notnull, default is not None or bool(pk))
            for _, name, kind, notnull, default, pk in rows
        }
    if database == "mysql":
        rows = query(
            database,
            "SELECT column_name, column_type, is_nullable = 'YES',"
            " column_default IS NOT NULL OR extra = 'auto_increment'"
            " FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = %s",
            table,
        )
        return {name: (kind, bool(null), bool(default)) for name, kind, null, default in rows}
    rows = query(
        database,
        "SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull,"
        " atthasdef OR attidentity <> '' FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        table,
    )
    return {name: (kind, nullable, default) for name, kind, nullable, default in rows}


@pytest.mark.parametrize("table", COLUMNS)
def test_the_originals_columns_have_the_originals_names_and_types(database, table):
    there = columns_of(database, table)

    type_at = {"sqlite": 0, "postgresql": 1, "mysql": 2}[database]
    for name, column in COLUMNS[table].items():
        assert (name, *there[name][:2]) == (name, column[type_at], column[3])


@pytest.mark.parametrize("table", COLUMNS)
def test_every_other_column_may_be_left_out_of_an_insert(database, table):
    there = columns_of(database, table)

    others = {name: column for name, column in there.items() if name not in COLUMNS[table]}
    assert all(nullable or default for _, nullable, default in others.values()), others


def test_grabbed_until_is_0_where_nothing_is_said(database):
    func = FuncMap.objects.get_or_make("Note", using=database)

    query(database, "INSERT INTO django_schwartz_job (funcid, run_after) VALUES (%s, 1)", func.pk)

    assert query(database, "SELECT grabbed_until, grabs FROM django_schwartz_job") == [(0, 0)]


@pytest.mark.parametrize(
    ("table", "column"),
    [("django_schwartz_job", "jobid"), ("django_schwartz_funcmap", "funcid")],
)
def test_the_sequences_of_postgresql_have_the_names_that_perl_asks(two_databases, table, column):
    [(name,)] = query("postgresql", "SELECT pg_get_serial_sequence(%s, %s)", table, column)

    assert name == f"public.{table}_{column}_seq"


def test_a_jobid_may_be_given(client, database):
    query(
        database,
        "INSERT INTO django_schwartz_job (jobid, funcid, run_after) VALUES (9000000000, %s, 1)",
        FuncMap.objects.get_or_make("Note", using=database).pk,
    )

    assert client.lookup_job(f"{database}-9000000000").funcname == "Note"


def test_no_jobid_is_given_away_twice(client):
    handles = []

    for _ in range(3):
        handle = client.dispatch_async("Note")
        handle.job.completed()
        handles.append(handle)

    assert not Job.objects.exists()
    assert handles[0].jobid < handles[1].jobid < handles[2].jobid


# Indexes


def indexes_of(database, table):
    """The columns of every index, and whether it is unique."""
    connection = connections[database]
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    return [
        (tuple(about["columns"]), about["unique"])
        for about in constraints.values()
        if about["index"] or about["unique"]
    ]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("funcmap", ("funcname",)),
        ("job", ("funcid", "uniqkey")),
    ],
)
def test_what_is_unique_to_the_original_is_unique(database, table, columns):
    assert (columns, True) in indexes_of(database, f"django_schwartz_{table}")


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("job", ("funcid", "run_after")),
        ("job", ("funcid", "coalesce")),
        ("error", ("jobid",)),
        ("error", ("error_time",)),
        ("error", ("funcid", "error_time")),
        ("exitstatus", ("funcid",)),
        ("exitstatus", ("delete_after",)),
    ],
)
def test_an_index_begins_as_each_of_the_originals(database, table, columns):
    indexes = indexes_of(database, f"django_schwartz_{table}")

    assert columns in [there[: len(columns)] for there, _ in indexes]


def test_the_order_of_the_grab_is_read_from_an_index(client, database):
    client.dispatch_jobs([Job(funcname="Note", priority=n % 3) for n in range(50)])
    if database == "postgresql":
        query(database, "SET enable_seqscan = off; SET enable_sort = off")
        query(database, "SET enable_sort = off")  # cheap for so few rows
    funcid = FuncMap.objects.get(funcname="Note").pk

    plan = Job.objects.filter(func_id=funcid).in_order(prioritize=True)[:10].explain()

    assert "schwartz_job_grab" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
    assert "filesort" not in plan
    connections[database].close()


def test_a_second_row_of_a_funcname_is_refused(database):
    FuncMap.objects.create(funcname="A")

    with pytest.raises(IntegrityError):
        query(database, "INSERT INTO django_schwartz_funcmap (funcname) VALUES ('A')")


@pytest.mark.django_db(databases=[alias for alias in settings.DATABASES if alias != "default"])
def test_the_migrations_make_the_tables_that_the_models_have():
    call_command("makemigrations", "django_schwartz", check=True, dry_run=True, verbosity=0)


def updates_of(database):
    """How many rows of jobs were updated, and how many of these so that no index was touched."""
    query(database, "SELECT pg_stat_force_next_flush()")
    [counts] = query(
        database,
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
        " WHERE relname = 'django_schwartz_job'",
    )
    return counts


@pytest.mark.only_on("postgresql")
def test_no_grab_of_a_small_job_touches_an_index(client, database):
    client.dispatch_jobs(Job(funcname="Mail", arg=number) for number in range(300))
    lease = client.lease(["Mail"], database)
    updated, hot = updates_of(database)

    Job.objects.due().grab(lease, limit=300)

    updated_now, hot_now = updates_of(database)
    assert updated_now - updated == hot_now - hot == 300  # the pages have room for the new rows


# Perl's INSERTs: they name each of the original's columns, and send NULL for what is not set


class Perl:
    """A client and worker of the original's, in its SQL."""

    def __init__(self, database):
        self.database = database

    def query(self, sql, *params):
        return query(self.database, sql, *params)

    def insert(self, table, **row):
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        self.query(f"INSERT INTO {table} ({names}) VALUES ({marks})", *row.values())
        last_insert_id = {"sqlite": "last_insert_rowid()", "mysql": "LAST_INSERT_ID()"}
        if self.database in last_insert_id:
            return self.query(f"SELECT {last_insert_id[self.database]}")[0][0]
        serial = {"django_schwartz_job": "jobid", "django_schwartz_funcmap": "funcid"}.get(table)
        if serial:
            return self.query(f"SELECT currval('{table}_{serial}_seq')")[0][0]
        return None

    def funcid(self, funcname):
        found = self.query(
            "SELECT funcid FROM django_schwartz_funcmap WHERE funcname = %s", funcname
        )
        return found[0][0] if found else self.insert("django_schwartz_funcmap", funcname=funcname)

    def dispatch(self, funcname, arg=None, **columns):
        return self.insert(
            "django_schwartz_job",
            **{
                "arg": arg,
                "coalesce": None,
                "funcid": self.funcid(funcname),
                "grabbed_until": 0,
                "insert_time": self.now(),
                "priority": None,
                "run_after": self.now(),
                "uniqkey": None,
                **columns,
            },
        )

    def now(self):
        return FuncMap.objects.order_by("pk").values_list(ServerTime(), flat=True)[0]

    def candidate(self, jobid):
        """What the SELECT of a worker reads of a job."""
        return self.query(
            "SELECT jobid, run_after, arg, grabbed_until FROM django_schwartz_job WHERE jobid = %s"
            " AND run_after <= %s AND grabbed_until <= %s",
            jobid,
            self.now(),
            self.now(),
        )

    def take(self, candidate, seconds=3600):
        """Grab a job that was read. Whether nobody was faster."""
        [(jobid, run_after, arg, grabbed_until)] = candidate
        changed = self.query(
            "UPDATE django_schwartz_job SET grabbed_until = %s, run_after = %s, arg = %s"
            " WHERE jobid = %s AND grabbed_until = %s AND grabbed_until <= %s",
            self.now() + seconds,
            run_after,
            arg,
            jobid,
            grabbed_until,
            self.now(),
        )
        return changed == 1

    def complete(self, jobid, funcname):
        self.insert(
            "django_schwartz_exitstatus",
            completion_time=self.now(),
            delete_after=self.now() + 60,
            funcid=self.funcid(funcname),
            jobid=jobid,
            status=0,
        )
        self.query("DELETE FROM django_schwartz_job WHERE jobid = %s", jobid)

    def fail(self, jobid, funcname, message, delay=0):
        self.insert(
            "django_schwartz_error",
            error_time=self.now(),
            funcid=self.funcid(funcname),
            jobid=jobid,
            message=message,
        )
        self.query(
            "UPDATE django_schwartz_job SET grabbed_until = 0, run_after = %s WHERE jobid = %s",
            self.now() + delay,
            jobid,
        )


@pytest.fixture
def perl(database):
    FuncMap.objects.get_or_make("Note", using=database)
    return Perl(database)


@pytest.fixture
def performed():
    """The args of the jobs that Greet performed."""
    return []


@pytest.fixture(autouse=True)
def _greet(performed):
    @register
    class Greet(Worker):
        max_retries = 1
        keep_exit_status_for = 60

        def work(self, job):
            performed.append(job.arg)
            job.completed()


@pytest.mark.parametrize(
    ("arg", "value"),
    [
        (None, None),
        (b"", b""),
        (b"short_arg", b"short_arg"),
        (b"\x05", b"\x05"),
        (bytes.fromhex("050b03000000010a016e0000000161"), {"a": "n"}),
        (b'{"a":1}', {"a": 1}),
    ],
    ids=["none", "empty", "text", "byte 5", "frozen", "JSON"],
)
def test_a_job_of_perls_is_performed(client, perl, performed, arg, value):
    jobid = perl.dispatch("Greet", arg)
    client.can_do("Greet")

    client.work_until_done()

    assert performed == [value]
    assert client.handle_from_string(f"{perl.database}-{jobid}").exit_status == 0


def test_a_function_that_perl_was_first_to_use_is_found(client, perl, performed):
    client.can_do("Greet")
    client.work_until_done()
    perl.dispatch("Greet")

    worked = client.work_once()

    assert worked is True
    assert performed == [None]


def test_a_priority_that_perl_leaves_null_counts_as_0(client, perl):
    perl.dispatch("Greet", b"Perl's")
    client.dispatch_async("Greet", "high", priority=1)
    client.dispatch_async("Greet", "low", priority=-1)

    args = [client.find_job_for_workers(["Greet"]).arg for _ in range(3)]

    assert args == ["high", b"Perl's", "low"]


def test_a_uniqkey_that_perl_queued_is_a_duplicate_of_ours(client, perl):
    jobid = perl.dispatch("Greet", uniqkey="7")

    handle = client.dispatch_async("Greet", uniqkey="7")

    assert handle.is_duplicate
    assert handle.jobid == jobid


def test_a_uniqkey_that_we_queued_is_refused_to_perl(client, perl):
    client.dispatch_async("Greet", uniqkey="7")

    with pytest.raises(IntegrityError) as refused:
        perl.dispatch("Greet", uniqkey="7")

    words = {"mysql": "duplicate entry"}.get(perl.database, "unique constraint")
    assert words in str(refused.value).lower()


def test_jobs_of_perls_without_a_uniqkey_never_collide(perl):
    perl.dispatch("Greet")
    perl.dispatch("Greet")

    assert Job.objects.count() == 2


def test_errors_and_exit_statuses_of_perls_are_told_by_the_handle(client, perl):
    handle = client.dispatch_async("Greet")

    perl.fail(handle.jobid, "Greet", "no")
    perl.fail(handle.jobid, "Greet", "no again")
    perl.complete(handle.jobid, "Greet")

    assert handle.failure_log == ["no", "no again"]
    assert handle.failures == 2
    assert handle.exit_status == 0
    assert not handle.is_pending


# Perl's workers beside ours


def test_perl_grabs_a_job_of_ours_and_we_do_not(client, perl):
    handle = client.dispatch_async("Greet")

    taken = perl.take(perl.candidate(handle.jobid))

    assert taken is True
    assert client.find_job_for_workers(["Greet"]) is None


def test_we_hold_a_job_and_perl_does_not_see_it(client, perl):
    handle = client.dispatch_async("Greet")

    client.find_job_for_workers(["Greet"])

    assert perl.candidate(handle.jobid) == []


def test_perl_that_read_the_job_before_we_took_it_loses(client, perl):
    handle = client.dispatch_async("Greet")
    read = perl.candidate(handle.jobid)
    client.find_job_for_workers(["Greet"])
    ours = row_of(handle)

    taken = perl.take(read)

    assert taken is False
    assert row_of(handle) == ours


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_we_lose_a_job_that_perl_took_after_we_read_it(client, dialect, perl, monkeypatch):
    handle = client.dispatch_async("Greet")
    read = perl.candidate(handle.jobid)
    races = []
    monkeypatch.setattr(dialect, "after_select", lambda: races.append(perl.take(read)))

    job = client.find_job_for_workers(["Greet"])

    assert job is None
    assert races[0] is True
    assert row_of(handle)["grabbed_by"] is None


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
def test_a_delay_that_perl_gave_while_we_looked_is_kept(client, dialect, perl, monkeypatch):
    handle = client.dispatch_async("Greet")

    def grab_and_fail():
        if perl.candidate(handle.jobid):
            perl.take(perl.candidate(handle.jobid))
            perl.fail(handle.jobid, "Greet", "no", delay=1000)

    monkeypatch.setattr(dialect, "after_select", grab_and_fail)

    job = client.find_job_for_workers(["Greet"])

    assert job is None
    assert perl.candidate(handle.jobid) == []
    assert handle.failures == 1


def test_a_failure_of_perls_counts_towards_our_retries(client, perl):
    handle = client.dispatch_async("Greet")
    perl.take(perl.candidate(handle.jobid))
    perl.fail(handle.jobid, "Greet", "once")

    client.find_job_for_workers(["Greet"]).failed("twice")

    assert handle.failure_log == ["once", "twice"]
    assert handle.exit_status == 1
    assert not handle.is_pending


def test_perl_reads_a_failure_of_ours(client, perl):
    handle = client.dispatch_async("Greet")

    client.find_job_for_workers(["Greet"]).failed("once")

    assert perl.query(
        "SELECT jobid, funcid, message FROM django_schwartz_error WHERE jobid = %s", handle.jobid
    ) == [(handle.jobid, perl.funcid("Greet"), "once")]
    assert len(perl.candidate(handle.jobid)) == 1


def test_perl_reads_an_exit_status_of_ours(client, perl):
    handle = client.dispatch_async("Greet")
    before = perl.now()

    client.find_job_for_workers(["Greet"]).completed()

    [(funcid, status, completed, delete_after)] = perl.query(
        "SELECT funcid, status, completion_time, delete_after FROM django_schwartz_exitstatus"
        " WHERE jobid = %s",
        handle.jobid,
    )
    assert (funcid, status) == (perl.funcid("Greet"), 0)
    assert before <= completed <= perl.now()
    assert delete_after == completed + 60


VERDICTS = {
    "completed": lambda job: job.completed(),
    "failed": lambda job: job.failed("no"),
    "permanent_failure": lambda job: job.permanent_failure("no"),
    "replace_with": lambda job: job.replace_with(Job(funcname="Note")),
    "declined": lambda job: job.declined(4_000_000_000),
    "give_back": lambda job: job.give_back(),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_our_verdict_on_a_job_that_perl_took_over_changes_nothing(client, perl, verdict):
    handle = client.dispatch_async("Greet")
    job = client.find_job_for_workers(["Greet"])
    end_lease(handle)
    perl.take(perl.candidate(handle.jobid), seconds=5000)
    before = row_of(handle)

    recorded = VERDICTS[verdict](job)

    assert recorded is False
    assert row_of(handle) == before
    assert Job.objects.count() == 1
    assert not Error.objects.exists()
    assert not ExitStatus.objects.exists()


@pytest.mark.parametrize("verdict", VERDICTS)
def test_our_verdict_on_a_job_that_a_late_perl_worker_completed_changes_nothing(
    client, perl, verdict
):
    handle = client.dispatch_async("Greet")
    job = client.find_job_for_workers(["Greet"])
    perl.complete(handle.jobid, "Greet")

    recorded = VERDICTS[verdict](job)

    assert recorded is False
    assert handle.exit_status == 0
    assert handle.failures == 0
    assert not Job.objects.exists()


def test_a_late_perl_worker_that_frees_our_job_takes_our_lease(client, perl):
    handle = client.dispatch_async("Greet")
    job = client.find_job_for_workers(["Greet"])
    perl.fail(handle.jobid, "Greet", "late")

    recorded = job.completed()

    assert recorded is False
    assert handle.is_pending
    assert handle.failure_log == ["late"]


def test_perl_completes_a_job_of_ours(client, perl):
    handle = client.dispatch_async("Greet")
    perl.take(perl.candidate(handle.jobid))

    perl.complete(handle.jobid, "Greet")

    assert handle.exit_status == 0
    assert handle.failures == 0
