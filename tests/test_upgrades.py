"""Upgrades: workers wait for migrations, and migrations harm no worker that runs."""

import json
import signal

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import call_command
from django.db import connections, migrations, models
from django.db.migrations.loader import MigrationLoader

from django_schwartz.client import TheSchwartz
from django_schwartz.models import WorkerProcess
from django_schwartz.upgrades import wait_for_migrations
from tests.app.models import Trace
from tests.waiting import until

#: Those after the first.
LATER = "0002_scoreboard, 0003_room_to_grab, 0004_away"


@pytest.fixture
def migrate(database):
    """Go to a migration of the queue's; in the end they are all applied."""

    def migrate(*name):
        call_command("migrate", "django_schwartz", *name, database=database, verbosity=0)

    yield migrate
    migrate()


def lines_until(process, text):
    """What it prints, up to the line with that text."""
    lines = []
    while not lines or text not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], lines
    return lines


@pytest.mark.parametrize("processes", [0, 1])
def test_a_worker_waits_for_missing_migrations_and_says_so_in_one_line(
    migrate, client, manage, database, processes
):
    handle = client.dispatch_async("Note", "in time")
    migrate("0001")

    process = manage("runschwartz", "--processes", processes)
    waiting = lines_until(process, "waiting")
    migrate()
    begun = lines_until(process, "performing")

    assert waiting[-1].endswith(
        f"WARNING waiting for `manage.py migrate` to apply {LATER} in {database!r}\n"
    )
    assert len(begun) == 1
    until(lambda: not handle.is_pending)
    assert Trace.objects.count() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_migrations_ends_when_it_is_told_to(migrate, manage, number):
    migrate("0001")
    process = manage("runschwartz")
    lines_until(process, "waiting")

    process.send_signal(number)

    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output


def test_migrations_stop_no_worker_that_runs(migrate, client, manage, tmp_path):
    handles = [
        client.dispatch_async("Slow", {"begun": str(tmp_path / str(n)), "seconds": 0.1})
        for n in range(30)
    ]
    process = manage("runschwartz", "--threads", 1)
    lines_until(process, "performing")

    migrate("0001")
    migrate()
    until(lambda: not any(handle.is_pending for handle in handles))

    assert [handle.failures for handle in handles] == [0] * 30
    assert process.poll() is None


@pytest.fixture
def second(database, add_database, tmp_path):
    """The alias of a second database of the same kind, which lacks the latest migration."""
    if database == "sqlite":
        add_database("second", NAME=str(tmp_path / "second.sqlite3"))
    else:
        with connections[database].cursor() as cursor:
            cursor.execute("CREATE SCHEMA second")
        add_database("second", OPTIONS={"options": "-c search_path=second"})
    call_command("migrate", "django_schwartz", "0001", database="second", verbosity=0)
    yield "second"
    if database != "sqlite":
        with connections[database].cursor() as cursor:
            cursor.execute("DROP SCHEMA second CASCADE")


@pytest.mark.only_on("sqlite", "postgresql")
@pytest.mark.parametrize("processes", [0, 1])
def test_a_database_without_its_migrations_is_waited_for_alone(second, database, manage, processes):
    here = TheSchwartz([database]).dispatch_async("Note", "here")
    process = manage(
        "runschwartz",
        "--no-reload",
        "--processes",
        processes,
        DJANGO_SCHWARTZ_TEST_DATABASES=json.dumps({second: connections.settings[second]}),
        DJANGO_SCHWARTZ_TEST_SETTINGS=json.dumps({"DATABASES": [database, second]}),
    )
    waiting = lines_until(process, "waiting")

    until(lambda: not here.is_pending)
    if processes:
        until(lambda: WorkerProcess.objects.using(database).filter(away__has_key=second).exists())
        assert LATER.split(", ")[0] in WorkerProcess.objects.using(database).get().away[second]
    call_command("migrate", "django_schwartz", database=second, verbosity=0)
    there = TheSchwartz([second]).dispatch_async("Note", "there")
    until(lambda: not there.is_pending)
    process.terminate()
    rest, _ = process.communicate(timeout=40)

    assert waiting[-1].endswith(
        f"WARNING waiting for `manage.py migrate` to apply {LATER} in {second!r}, and working in"
        " the other databases\n"
    )
    assert rest.count(f"INFO {second!r} has its migrations now: working there, too\n") == 1
    assert not any(word in rest for word in ("WARNING", "ERROR", "waiting")), rest
    assert (process.returncode, here.exit_status, there.exit_status) == (0, 0, 0)


def test_what_is_missing_is_told_once_however_often_it_is_looked_for(migrate, database, caplog):
    migrate("0001")
    pauses = []

    def pause():
        pauses.append(1)
        if len(pauses) == 3:
            migrate()
        return False

    assert wait_for_migrations([database], pause=pause) == {}
    assert len(pauses) == 3
    assert len(caplog.records) == 1


def test_a_worker_does_not_wait_for_a_database_that_is_away(dead_database):
    assert wait_for_migrations([dead_database], pause=lambda: True) == {}


#: What a worker of the version before bears, while it works on the same tables. A plain AddIndex
#: would keep it from writing on PostgreSQL until the index is made.
HARMLESS = (
    migrations.CreateModel,
    migrations.AddField,
    migrations.RunPython,
    AddIndexConcurrently,
)
FIELD = models.IntegerField(null=True)


def harmful(operations):
    """Those that a worker of the version before may suffer from."""
    return [operation for operation in operations if not is_harmless(operation)]


def is_harmless(operation):
    if not isinstance(operation, HARMLESS):
        return False
    field = getattr(operation, "field", FIELD)
    return field.null or field.has_db_default()


def test_migrations_only_add():
    later = [
        operation
        for (app, name), migration in MigrationLoader(None).graph.nodes.items()
        if app == "django_schwartz" and not name.startswith("0001")
        for operation in migration.operations
    ]

    assert later
    assert harmful(later) == []


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddIndex("job", models.Index(fields=["priority"], name="priority")),
        migrations.AddField("job", "weight", models.IntegerField(default=0)),
        migrations.AlterField("job", "priority", FIELD),
        migrations.RemoveField("job", "priority"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_a_migration_that_would_harm_a_running_worker_is_told(operation):
    assert harmful([operation]) == [operation]


def test_a_migration_that_harms_no_running_worker_passes():
    operations = [
        AddIndexConcurrently("job", models.Index(fields=["priority"], name="priority")),
        migrations.AddField("job", "weight", FIELD),
        migrations.AddField("job", "height", models.IntegerField(db_default=0)),
    ]

    assert harmful(operations) == []
