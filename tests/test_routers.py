"""The router: the queue's tables are in the queue's databases, and found there."""

import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections, router

from django_schwartz.client import TheSchwartz
from django_schwartz.models import FuncMap, Job
from tests.conftest import ROOT

TABLES = {
    "django_schwartz_error",
    "django_schwartz_exitstatus",
    "django_schwartz_funcmap",
    "django_schwartz_job",
    "django_schwartz_workerprocess",
}


@pytest.fixture
def route(settings):
    """Have the router keep the queue in these databases."""

    def route(*aliases):
        settings.DATABASE_ROUTERS = ["django_schwartz.routers.QueueRouter"]
        settings.SCHWARTZ = {"DATABASES": list(aliases)}

    return route


@pytest.fixture
def add_empty(database, add_database, tmp_path):
    """Add an alias for a database of the same kind that has no tables."""
    added = []

    def add(alias):
        name = f"{connections[database].settings_dict['NAME']}_{alias}"
        if database == "sqlite":
            return add_database(alias, NAME=str(tmp_path / alias))
        execute(database, f"CREATE DATABASE {name}")
        added.append((alias, name))
        return add_database(alias, NAME=name)

    yield add
    for alias, name in added:
        connections[alias].close()
        execute(database, f"DROP DATABASE {name}")


def execute(alias, sql):
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def tables_of(alias):
    return {*connections[alias].introspection.table_names()}


# Tables


def test_each_migrate_makes_the_queues_tables_where_the_queue_is_and_all_others_everywhere(
    route, add_empty
):
    aliases = [add_empty(alias) for alias in ("queue1", "queue2", "shop")]
    route("queue1", "queue2")

    for alias in aliases:
        call_command("migrate", database=alias, verbosity=0)

    assert [tables_of(alias) & TABLES for alias in aliases] == [TABLES, TABLES, set()]
    assert all("auth_user" in tables_of(alias) for alias in aliases)


def test_migrate_of_the_app_alone_makes_its_tables_alone(route, add_empty):
    route(add_empty("queue1"))

    call_command("migrate", "django_schwartz", database="queue1", verbosity=0)

    assert tables_of("queue1") == {*TABLES, "django_migrations"}


# Rows


def test_where_default_holds_no_queue_rows_are_found_in_the_first_queue_database(route, database):
    route(database)

    TheSchwartz().dispatch_async("Note")

    assert Job.objects.count() == 1
    assert Job.objects.using(database).count() == 1


@pytest.mark.parametrize(
    ("aliases", "alias"),
    [
        (["default"], "default"),
        (["queue1", "default"], "default"),
        (["queue1", "queue2"], "queue1"),
    ],
    ids=str,
)
def test_default_goes_before_the_first(route, aliases, alias):
    route(*aliases)

    assert router.db_for_read(Job) == alias
    assert router.db_for_write(Job) == alias


@pytest.mark.parametrize("alias", ["queue2", "retired"])
def test_what_is_about_a_row_stays_in_its_database(route, alias):
    route("queue1", "queue2")
    job = Job(funcname="Note")
    job._state.db = alias

    assert router.db_for_read(FuncMap, instance=job) == alias
    assert router.db_for_write(Job, instance=job) == alias


def test_a_row_of_another_app_leads_no_job_into_its_database(route):
    route("queue1")
    user = User()
    user._state.db = "default"

    assert router.db_for_read(Job, instance=user) == "queue1"


def test_other_apps_go_where_they_went(route):
    route("queue1")

    assert router.db_for_read(User) == "default"
    assert router.db_for_write(User) == "default"
    assert router.allow_migrate_model("default", User)


def test_the_router_can_be_imported_before_there_are_settings():
    line = "import django_schwartz.routers, sys; print('django_schwartz.models' in sys.modules)"

    told = subprocess.check_output([sys.executable, "-c", line], cwd=ROOT, text=True)

    assert told == "False\n"
