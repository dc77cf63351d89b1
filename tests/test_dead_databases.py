"""A database that cannot be used is passed over, and tried again later. After t/dead-dbs.t."""

import logging

import pytest
from django.db import Error, OperationalError, connections, transaction

from django_schwartz import Worker, register, signals
from django_schwartz.client import TheSchwartz
from django_schwartz.databases import Databases, Deaths
from django_schwartz.exceptions import AllDatabasesDead
from django_schwartz.models import Job


class Add(Worker):
    grab_for = 30

    def work(self, job):
        job.completed()


@pytest.fixture(autouse=True)
def _workers():
    register(Add)


class Clock:
    """Shows the seconds that it is set to."""

    seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def client_of(aliases, clock):
    """A client that asks the databases in just this order."""
    client = TheSchwartz(aliases)
    client.databases = Databases(
        aliases, retry_seconds=30, deaths=Deaths(clock), shuffle=lambda aliases: None
    )
    client.can_do(Add)
    return client


@pytest.fixture
def half_dead(dead_database, database, clock):
    """A client that asks a dead database first, then a living one."""
    return client_of([dead_database, database], clock)


@pytest.fixture
def all_dead(dead_database, clock):
    """A client whose only database is dead."""
    return client_of([dead_database], clock)


@pytest.fixture
def revive(database, dead_database):
    """Make the dead database answer; it is another way to the living one then."""

    def change_settings():
        connections[dead_database].settings_dict.update(connections[database].settings_dict)

    return change_settings


@pytest.fixture
def told():
    """What the signals tell of databases: a list of (what, alias)."""
    told = []

    def died(*, using, **_):
        told.append(("died", using))

    def revived(*, using, **_):
        told.append(("revived", using))

    signals.database_died.connect(died)
    signals.database_revived.connect(revived)
    yield told
    signals.database_died.disconnect(died)
    signals.database_revived.disconnect(revived)


# Passed over


def test_every_dispatch_finds_the_living_database(dead_database, database):
    client = TheSchwartz([dead_database, database])

    handles = [client.dispatch_async("Add", {"numbers": [1, 2]}) for _ in range(50)]

    assert [handle.alias for handle in handles] == [database] * 50
    assert Job.objects.count() == 50


def test_every_grab_finds_the_living_database(dead_database, database):
    client = TheSchwartz([dead_database, database])
    client.dispatch_jobs(Job(funcname="Add") for _ in range(50))

    grabbed = list(iter(lambda: Add.grab_job(client), None))

    assert len(grabbed) == 50


def test_many_jobs_go_to_the_living_database(half_dead, database):
    handles = half_dead.dispatch_jobs([Job(funcname="Add"), Job(funcname="Add")])

    assert [handle.alias for handle in handles] == [database, database]


def test_list_jobs_lists_those_of_the_living_database(half_dead):
    handle = half_dead.dispatch_async("Add")
    half_dead.databases = Databases(
        half_dead.databases.aliases, retry_seconds=30, shuffle=lambda aliases: None
    )

    assert [job.handle for job in half_dead.list_jobs(Add)] == [handle]


@pytest.mark.parametrize(
    "find",
    [
        lambda client: client.find_job_for_workers([Add]),
        lambda client: client.find_next_job(),
        lambda client: client.find_job_with_coalescing_value(Add, "key"),
        lambda client: client.find_job_with_coalescing_prefix(Add, "k"),
    ],
    ids=["for workers", "next", "value", "prefix"],
)
def test_jobs_are_found_in_the_living_database(half_dead, client, find):
    handle = client.dispatch_async("Add", coalesce="key")

    job = find(half_dead)

    assert job.handle == handle


def test_work_goes_on_in_the_living_database(half_dead, client):
    client.dispatch_async("Add")

    assert half_dead.work_once() is True
    assert Job.objects.count() == 0


def test_a_job_with_a_uniqkey_goes_to_another_database_when_its_home_is_dead(half_dead, database):
    keys = [str(n) for n in range(20)]

    handles = [half_dead.dispatch_async(Job(funcname="Add", uniqkey=key)) for key in keys]

    homes = {half_dead.databases.in_home_order("Add", key)[0] for key in keys}
    assert homes == {database}
    assert {handle.alias for handle in handles} == {database}
    assert half_dead.dispatch_async(Job(funcname="Add", uniqkey="0")) == handles[0]


# All dead


def test_a_dispatch_that_no_database_takes_says_why(all_dead, database):
    cause = {
        "sqlite": "unable to open database file",
        "postgresql": "Connection refused",
        "mysql": "Can't connect to",
    }
    with pytest.raises(AllDatabasesDead, match=f"'dead': .*{cause[database]}") as raised:
        all_dead.dispatch_async("Add")

    assert list(raised.value.causes) == ["dead"]
    assert isinstance(raised.value.causes["dead"], OperationalError)


def test_a_dispatch_of_many_that_no_database_takes_says_why(all_dead):
    with pytest.raises(AllDatabasesDead, match="'dead': "):
        all_dead.dispatch_jobs([Job(funcname="Add"), Job(funcname="Add")])


def test_nobody_finds_work_when_all_are_dead(all_dead):
    assert all_dead.work_once() is False
    assert all_dead.find_job_with_coalescing_value(Add, "key") is None
    assert all_dead.list_jobs(Add) == []


def test_when_all_are_dead_they_are_asked_nevertheless(all_dead, revive):
    with pytest.raises(AllDatabasesDead):
        all_dead.dispatch_async("Add")

    revive()

    assert all_dead.dispatch_async("Add").is_pending


# For how long


@pytest.mark.parametrize(
    ("seconds", "alias"), [(0, "living"), (30, "living"), (30.001, "dead")], ids=str
)
def test_a_dead_database_is_tried_again_after_more_than_retry_seconds(
    half_dead, database, revive, clock, seconds, alias
):
    half_dead.dispatch_async("Add")
    revive()

    clock.seconds += seconds
    handle = half_dead.dispatch_async("Add")

    assert handle.alias == {"living": database, "dead": "dead"}[alias]


def test_a_database_that_is_still_dead_is_dead_for_as_long_again(
    half_dead, database, revive, clock
):
    half_dead.dispatch_async("Add")
    clock.seconds += 31
    half_dead.dispatch_async("Add")
    revive()

    clock.seconds += 30
    handle = half_dead.dispatch_async("Add")

    assert handle.alias == database


def test_the_jobs_of_a_database_resume_when_it_is_back(all_dead, client, revive):
    handle = client.dispatch_async("Add")
    all_dead.work_once()

    revive()
    worked = all_dead.work_once()

    assert worked is True
    assert not handle.is_pending


# Who is told


def test_death_is_told_once_and_revival_too(half_dead, revive, clock, told):
    for _ in range(3):
        half_dead.dispatch_async("Add")
        clock.seconds += 31
    revive()
    half_dead.dispatch_async("Add")
    half_dead.dispatch_async("Add")

    assert told == [("died", "dead"), ("revived", "dead")]


def test_a_look_for_functions_revives_no_database_whose_jobs_cannot_be_had(all_dead, revive, told):
    all_dead.can_do_all()
    all_dead.work_once()
    revive()

    all_dead.look_for_abilities()
    so_far = list(told)
    all_dead.work_once()

    assert so_far == [("died", "dead")]
    assert told == [("died", "dead"), ("revived", "dead")]


def test_death_is_logged_on_one_line_with_its_cause(half_dead, caplog):
    with caplog.at_level(logging.ERROR, "django_schwartz"):
        half_dead.dispatch_async("Add")
        half_dead.dispatch_async("Add")

    [message] = caplog.messages
    assert message.startswith("database 'dead' cannot be used, trying again within 30 s: ")
    assert "\n" not in message
    assert caplog.records[0].exc_info is None


def test_the_cause_of_death_is_kept_until_the_database_answers(half_dead, revive, clock):
    half_dead.dispatch_async("Add")
    cause = half_dead.databases.causes["dead"]

    revive()
    clock.seconds += 31
    half_dead.dispatch_async("Add")

    assert isinstance(cause, OperationalError)
    assert half_dead.databases.causes == {}


# Where there is no choice of databases


def test_a_database_that_the_sender_names_answers_itself(half_dead, dead_database):
    with pytest.raises(OperationalError):
        half_dead.dispatch_async("Add", using=dead_database)

    assert Job.objects.count() == 0


def test_a_handle_of_a_dead_database_says_that_it_cannot_be_asked(half_dead, dead_database):
    handle = half_dead.handle_from_string(f"{dead_database}-1")

    with pytest.raises(OperationalError):
        half_dead.lookup_job(handle)
    with pytest.raises(OperationalError):
        _ = handle.is_pending


@pytest.fixture
def kill_connection(two_databases):
    """End PostgreSQL's session with this process when called."""

    def kill():
        with connections["postgresql"].cursor() as cursor, pytest.raises(OperationalError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    yield kill
    connections["postgresql"].close()


def test_a_dispatch_over_a_connection_that_was_cut_goes_to_its_database_by_a_new_one(
    two_databases, clock, kill_connection
):
    client = client_of(["postgresql", "sqlite"], clock)
    kill_connection()

    handle = client.dispatch_async("Add")

    assert handle.alias == "postgresql"
    assert client.databases.lives("postgresql")


def test_a_uniqkey_stays_in_its_home_when_the_connection_to_that_was_cut(
    two_databases, clock, kill_connection
):
    client = client_of(["postgresql", "sqlite"], clock)
    key = next(
        key
        for key in map(str, range(100))
        if client.databases.in_home_order("Add", key)[0] == "postgresql"
    )
    queued = client.dispatch_async("Add", uniqkey=key)
    kill_connection()

    handle = client.dispatch_async("Add", uniqkey=key)

    assert handle.is_duplicate
    assert handle == queued
    assert not Job.objects.using("sqlite").exists()


@pytest.mark.parametrize("using", [None, "postgresql"], ids=["any", "using"])
def test_one_cut_refuses_no_dispatch_to_the_only_database(
    two_databases, clock, kill_connection, using
):
    client = client_of(["postgresql"], clock)
    kill_connection()

    one = client.dispatch_async("Add", using=using)
    kill_connection()
    many = client.dispatch_jobs([Job(funcname="Add") for _ in range(20)], using=using)

    assert one.is_pending
    assert Job.objects.using("postgresql").count() == 1 + len(many) == 21


def test_a_cut_with_autocommit_off_is_not_covered_up_by_another_connection(
    two_databases, clock, kill_connection
):
    client = client_of(["postgresql"], clock)
    transaction.set_autocommit(False, using="postgresql")
    kill_connection()

    with pytest.raises(Error):
        client.dispatch_async("Add")
    with pytest.raises(Error):
        transaction.commit(using="postgresql")

    connections["postgresql"].close()
    assert not Job.objects.using("postgresql").exists()


@pytest.mark.parametrize("using", [None, "postgresql"], ids=["any", "using"])
def test_a_cut_after_jobs_that_cannot_be_had_again_is_raised(
    two_databases, clock, kill_connection, using
):
    client = client_of(["postgresql", "sqlite"], clock)
    jobs = (Job(funcname="Add") for _ in range(3000))
    cuts = iter([lambda: None, kill_connection, lambda: None])

    with pytest.raises(Error):
        client.dispatch_jobs(jobs, using=using, on_progress=lambda number: next(cuts)())

    assert not Job.objects.using("postgresql").exists()
    assert not Job.objects.using("sqlite").exists()


def test_a_connection_that_was_lost_in_a_transaction_takes_its_jobs_along(
    two_databases, clock, kill_connection
):
    client = client_of(["postgresql", "sqlite"], clock)

    @transaction.atomic(using="postgresql")
    def dispatch_before_and_after_the_loss():
        client.dispatch_async("Add")
        kill_connection()
        client.dispatch_async("Add")

    with pytest.raises(Error):
        dispatch_before_and_after_the_loss()

    assert Job.objects.using("postgresql").count() == 0
    assert Job.objects.using("sqlite").count() == 0
