"""The policy about databases: in what order they are asked, which are dead, and what is told of it.

What clients make of it is in test_dead_databases.py and test_evenly_distribute.py.
"""

import random
import threading
from collections import Counter

import pytest
from django.db import Error, IntegrityError, OperationalError, connections, transaction

from django_schwartz import signals
from django_schwartz.client import TheSchwartz
from django_schwartz.databases import Databases, Deaths
from django_schwartz.exceptions import AllDatabasesDead, SchwartzError
from django_schwartz.models import FuncMap, Job
from tests.threads import in_threads


class Clock:
    """Shows the seconds that it is set to."""

    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def databases_of(*aliases, clock=None, shuffle=lambda aliases: None):
    return Databases(aliases, retry_seconds=30, deaths=Deaths(clock or Clock()), shuffle=shuffle)


def ask(databases, alias, sql="SELECT 1"):
    """Send a statement to the database, going on if that is dead. Whether it answered."""
    with databases.failing_over(alias):
        with connections[alias].cursor() as cursor:
            cursor.execute(sql)
        return True
    return False


@pytest.fixture
def told():
    """What the signals tell: a list of (what, arguments)."""
    told = []

    def died(signal, sender, **arguments):
        told.append(("died", sender, arguments))

    def revived(signal, sender, **arguments):
        told.append(("revived", sender, arguments))

    signals.database_died.connect(died)
    signals.database_revived.connect(revived)
    yield told
    signals.database_died.disconnect(died)
    signals.database_revived.disconnect(revived)


# Order


def test_the_given_shuffle_decides_the_order():
    databases = databases_of("a", "b", "c", shuffle=list.reverse)

    assert databases.in_random_order() == ["c", "b", "a"]


def test_a_shuffle_leaves_the_configured_order_alone():
    databases = databases_of("a", "b", "c", shuffle=list.reverse)

    databases.in_random_order()

    assert databases.aliases == ["a", "b", "c"]
    assert databases.in_random_order() == ["c", "b", "a"]


def test_every_order_comes_as_often_as_any_other():
    databases = databases_of("a", "b", "c", shuffle=random.Random(1).shuffle)

    orders = Counter(tuple(databases.in_random_order()) for _ in range(6000))

    assert len(orders) == 6
    assert min(orders.values()) > 900


def test_without_databases_there_is_nothing_to_ask():
    databases = databases_of()

    assert databases.in_random_order() == []
    assert databases.in_home_order("Add", "1") == []
    assert databases.in_transaction() is None


# Home


def homes(databases, keys):
    return [databases.in_home_order("Add", key)[0] for key in keys]


KEYS = [str(n) for n in range(300)]


def test_the_home_order_does_not_depend_on_the_configured_order():
    one = databases_of("a", "b", "c")
    other = databases_of("c", "a", "b", shuffle=list.reverse)

    assert [one.in_home_order("Add", key) for key in KEYS] == [
        other.in_home_order("Add", key) for key in KEYS
    ]


def test_the_home_order_names_every_database_once():
    databases = databases_of("a", "b", "c")

    assert sorted(databases.in_home_order("Add", "1")) == ["a", "b", "c"]


def test_the_homes_are_spread_evenly():
    databases = databases_of("a", "b", "c")

    spread = Counter(homes(databases, KEYS))

    assert len(spread) == 3
    assert min(spread.values()) > 75


def test_a_database_more_is_the_new_home_of_some_keys_and_the_others_stay():
    before = homes(databases_of("a", "b"), KEYS)

    after = homes(databases_of("a", "b", "c"), KEYS)

    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {"c"}
    assert 75 < len(moved) < 125


def test_function_and_key_are_not_run_together():
    databases = databases_of(*"abcdefgh")

    assert databases.in_home_order("Add", "1x") != databases.in_home_order("Add1", "x")


# Death


def test_a_database_that_answers_is_alive(database):
    databases = databases_of(database)

    answered = ask(databases, database)

    assert answered is True
    assert not databases.is_dead(database)
    assert databases.causes == {}


def test_a_database_that_cannot_be_reached_is_dead(dead_database):
    databases = databases_of(dead_database)

    answered = ask(databases, dead_database)

    assert answered is False
    assert databases.is_dead(dead_database)


def test_a_dead_database_is_left_out_of_every_order(dead_database):
    databases = databases_of("a", dead_database, "b")
    key = next(key for key in KEYS if databases.in_home_order("Add", key)[0] == dead_database)
    without = [alias for alias in databases.in_home_order("Add", key) if alias != dead_database]

    ask(databases, dead_database)

    assert databases.in_random_order() == ["a", "b"]
    assert databases.in_home_order("Add", key) == without


def test_a_dead_database_keeps_its_place_among_the_homes(dead_database, clock):
    databases = databases_of("a", dead_database, "b", clock=clock)
    before = homes(databases, KEYS)

    ask(databases, dead_database)
    while_dead = homes(databases, KEYS)
    clock.seconds = 31

    stayed = [new for old, new in zip(before, while_dead, strict=True) if old == new]
    assert stayed == [home for home in before if home != dead_database]
    assert homes(databases, KEYS) == before


def test_when_all_are_dead_all_are_asked(dead_database):
    databases = databases_of(dead_database)

    ask(databases, dead_database)

    assert databases.in_random_order() == [dead_database]
    assert databases.in_home_order("Add", "1") == [dead_database]


@pytest.mark.parametrize(
    ("seconds", "dead"), [(0, True), (29, True), (30, True), (30.001, False), (1e9, False)]
)
def test_a_dead_database_is_alive_again_after_more_than_retry_seconds(
    dead_database, clock, seconds, dead
):
    databases = databases_of(dead_database, clock=clock)
    ask(databases, dead_database)

    clock.seconds = seconds

    assert databases.is_dead(dead_database) is dead


def test_each_failure_begins_the_time_anew(dead_database, clock):
    databases = databases_of(dead_database, clock=clock)
    ask(databases, dead_database)
    clock.seconds = 20
    ask(databases, dead_database)

    clock.seconds = 45

    assert databases.is_dead(dead_database)


def test_an_answer_ends_the_time(dead_database, database):
    databases = databases_of(dead_database)
    ask(databases, dead_database)
    connections[dead_database].settings_dict.update(connections[database].settings_dict)

    answered = ask(databases, dead_database)

    assert answered is True
    assert not databases.is_dead(dead_database)
    assert databases.causes == {}


def test_no_retry_seconds_is_no_time_but_this_moment(dead_database, clock):
    databases = Databases([dead_database], retry_seconds=0, deaths=Deaths(clock))
    ask(databases, dead_database)

    clock.seconds = 0.001

    assert not databases.is_dead(dead_database)


def test_the_connection_to_a_dead_database_is_closed(client, database):
    databases = databases_of(database)
    connections[database].ensure_connection()

    answered = ask(databases, database, "SELECT * FROM no_such_table")

    assert answered is False
    assert connections[database].connection is None


# Suspicion


END_MY_SESSION = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.fixture
def end_sessions(database, any_thread_connects):
    """End these sessions, from another thread."""

    def end(*sessions):
        sql = "KILL %s" if database == "mysql" else "SELECT pg_terminate_backend(%s, 5000)"
        with connections[database].cursor() as cursor:
            for session in sessions:
                cursor.execute(sql, [session])

    return lambda *sessions: in_threads(lambda: end(*sessions))


@pytest.fixture
def cut(database, end_sessions):
    """End the session of this thread's connection."""

    def cut():
        end_sessions(session_of(database))

    yield cut
    connections[database].close()


def session_of(alias):
    sql = "CONNECTION_ID" if alias == "mysql" else "pg_backend_pid"
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {sql}()")
        return cursor.fetchone()[0]


@pytest.mark.only_on("postgresql", "mysql")
def test_a_session_that_was_cut_leaves_its_database_for_the_next_to_ask(database, cut):
    databases = databases_of(database)
    cut()

    answers = [ask(databases, database) for _ in range(2)]

    assert answers == [False, True]
    assert databases.causes == {}


@pytest.mark.only_on("postgresql", "mysql")
def test_a_database_whose_session_was_cut_is_not_dead_and_has_the_cause(database, cut, told):
    databases = databases_of(database)
    cut()

    ask(databases, database)

    assert not databases.is_dead(database)
    assert not databases.lives(database)
    assert isinstance(databases.causes[database], OperationalError)
    assert told == []


@pytest.mark.only_on("postgresql", "mysql")
@pytest.mark.parametrize("number", [1, 2, 20])
@pytest.mark.parametrize("has_name", [False, True], ids=["any", "using"])
def test_a_dispatch_over_a_session_that_was_cut_is_made_again_in_another(
    database, client, cut, told, number, has_name
):
    client.dispatch_async("Note")
    cut()

    handles = client.dispatch_jobs(
        [Job(funcname="Note") for _ in range(number)], using=database if has_name else None
    )

    assert len(handles) == number
    assert Job.objects.count() == 1 + number
    assert told == []


@pytest.mark.only_on("postgresql", "mysql")
def test_a_session_that_was_cut_before_a_transaction_takes_nothing_of_it_to_another(
    database, client, cut
):
    cut()

    with pytest.raises(Error), transaction.atomic(using=database):
        client.dispatch_async("Note")

    connections[database].close()
    assert not Job.objects.exists()


@pytest.mark.only_on("postgresql", "mysql")
def test_sessions_of_many_threads_that_were_cut_make_no_database_dead(database, end_sessions):
    databases = databases_of(database)
    sessions = []
    are_cut = threading.Barrier(4, timeout=20)

    def ask_twice():
        sessions.append(session_of(database))
        are_cut.wait()
        are_cut.wait()
        return [ask(databases, database) for _ in range(2)]

    def cut_all():
        are_cut.wait()
        end_sessions(*sessions)
        are_cut.wait()

    *answers, _ = in_threads(*[ask_twice] * 3, cut_all)

    assert answers == [[False, True]] * 3
    assert not databases.is_dead(database)


@pytest.mark.only_on("postgresql")
def test_a_database_that_cuts_a_new_connection_too_is_dead(database, cut, told):
    databases = databases_of(database)
    cut()

    answers = [ask(databases, database, END_MY_SESSION) for _ in range(2)]

    assert answers == [False, False]
    assert databases.is_dead(database)
    assert [what for what, *_ in told] == ["died"]


@pytest.mark.only_on("postgresql")
def test_an_old_connection_that_was_cut_does_not_shorten_the_death_of_its_database(
    database, clock, cut
):
    databases = databases_of(database, clock=clock)
    connections[database].close()
    ask(databases, database, END_MY_SESSION)
    cut()

    clock.seconds = 30
    ask(databases, database)

    assert databases.is_dead(database)


def test_a_server_that_does_not_serve_is_dead_though_its_connection_is_good(database, clock):
    databases = databases_of(database, clock=clock)
    connections[database].ensure_connection()

    ask(databases, database, "SELECT * FROM no_such_table")

    assert databases.is_dead(database)


# Known to all


def test_what_one_found_dead_is_dead_for_all_who_share_that(dead_database, clock):
    deaths = Deaths(clock)
    one, other = (
        Databases([dead_database], retry_seconds=seconds, deaths=deaths) for seconds in (30, 300)
    )
    ask(one, dead_database)

    dead = []
    for clock.seconds in (30, 31, 300, 301):
        dead.append((one.is_dead(dead_database), other.is_dead(dead_database)))

    assert dead == [(True, True), (False, True), (False, True), (False, False)]
    assert other.causes == one.causes


def test_what_one_found_alive_is_alive_for_all_who_share_that(dead_database, database):
    deaths = Deaths(Clock())
    one, other = (Databases([dead_database], retry_seconds=30, deaths=deaths) for _ in range(2))
    ask(one, dead_database)
    connections[dead_database].settings_dict.update(connections[database].settings_dict)

    ask(one, dead_database)

    assert not other.is_dead(dead_database)
    assert other.causes == {}


def test_a_death_that_many_threads_find_is_news_once():
    deaths = Deaths(Clock())
    start = threading.Barrier(8, timeout=20)

    def note():
        start.wait()
        return deaths.note("a", OperationalError())

    assert sorted(in_threads(*[note] * 8)) == [False] * 7 + [True]


def test_clients_of_one_process_ask_a_dead_database_once(dead_database, database):
    for _ in range(20):
        TheSchwartz([dead_database, database]).dispatch_async("Note")
    connections[dead_database].settings_dict.update(connections[database].settings_dict)

    handles = [TheSchwartz([dead_database, database]).dispatch_async("Note") for _ in range(20)]

    assert {handle.alias for handle in handles} == {database}


def test_a_clients_own_retry_seconds_hold(dead_database, database):
    aliases = [dead_database, database]
    for _ in range(20):
        TheSchwartz(aliases).dispatch_async("Note")
    connections[dead_database].settings_dict.update(connections[database].settings_dict)

    handles = [TheSchwartz(aliases, retry_seconds=0).dispatch_async("Note") for _ in range(20)]

    assert {handle.alias for handle in handles} == {database, dead_database}


def test_a_cause_that_is_kept_keeps_no_frames(dead_database):
    databases = databases_of(dead_database)

    ask(databases, dead_database)

    cause = databases.causes[dead_database]
    assert cause.__traceback__ is None
    assert cause.__cause__.__traceback__ is None


# What is no death


@pytest.mark.parametrize("sql", ["SELEKT 1", "SELECT no_such_function()"])
def test_a_statement_that_is_wrong_is_the_callers_error(database, sql):
    databases = databases_of(database)

    with pytest.raises(Error):
        ask(databases, database, sql)

    assert not databases.is_dead(database)


def test_a_row_that_is_refused_is_the_callers_error(database):
    databases = databases_of(database)
    FuncMap.objects.create(funcname="Add")

    with pytest.raises(IntegrityError), databases.failing_over(database):
        FuncMap.objects.create(funcname="Add")

    assert not databases.is_dead(database)


def test_an_error_that_is_not_the_databases_is_the_callers(database):
    databases = databases_of(database)

    with pytest.raises(ZeroDivisionError), databases.failing_over(database):
        1 / 0  # noqa: B018

    assert not databases.is_dead(database)


def test_an_error_that_is_not_the_databases_is_no_sign_of_life(dead_database):
    databases = databases_of(dead_database)
    ask(databases, dead_database)

    with pytest.raises(ZeroDivisionError), databases.failing_over(dead_database):
        1 / 0  # noqa: B018

    assert databases.is_dead(dead_database)


def test_inside_a_transaction_every_error_is_the_callers(database):
    databases = databases_of(database)

    with pytest.raises(Error), transaction.atomic(using=database):
        ask(databases, database, "SELECT * FROM no_such_table")

    assert not databases.is_dead(database)
    assert databases.causes == {}


def test_the_database_of_the_open_transaction_is_known(two_databases):
    databases = databases_of("sqlite", "postgresql")

    outside = databases.in_transaction()
    with transaction.atomic(using="postgresql"):
        inside = databases.in_transaction()
        with transaction.atomic(using="sqlite"):
            inside_both = databases.in_transaction()

    assert (outside, inside, inside_both) == (None, "postgresql", "sqlite")


def test_a_transaction_on_a_database_without_a_queue_is_none_of_ours(two_databases):
    databases = databases_of("sqlite")

    with transaction.atomic(using="postgresql"):
        inside = databases.in_transaction()

    assert inside is None


# What is told


def test_death_is_told_once_with_its_cause(dead_database, clock, told):
    databases = databases_of(dead_database, clock=clock)

    for clock.seconds in (0, 10, 100):
        ask(databases, dead_database)

    [(what, sender, arguments)] = told
    assert (what, sender) == ("died", Databases)
    assert arguments["using"] == dead_database
    assert isinstance(arguments["error"], OperationalError)
    assert arguments["retry_seconds"] == 30


def test_revival_is_told_once(dead_database, database, told):
    databases = databases_of(dead_database)
    ask(databases, dead_database)
    connections[dead_database].settings_dict.update(connections[database].settings_dict)
    told.clear()

    for _ in range(3):
        ask(databases, dead_database)

    assert told == [("revived", Databases, {"using": dead_database})]


def test_a_database_that_dies_again_is_told_of_again(dead_database, database, told):
    databases = databases_of(dead_database)
    away = dict(connections[dead_database].settings_dict)
    ask(databases, dead_database)
    connections[dead_database].settings_dict.update(connections[database].settings_dict)
    ask(databases, dead_database)
    connections[dead_database].close()
    connections[dead_database].settings_dict.update(away)

    ask(databases, dead_database)

    assert [what for what, _, _ in told] == ["died", "revived", "died"]


def test_a_database_that_never_died_is_not_told_of(database, told):
    databases = databases_of(database)

    ask(databases, database)

    assert told == []


def test_the_latest_cause_is_kept(dead_database):
    databases = databases_of(dead_database)
    ask(databases, dead_database)
    first = databases.causes[dead_database]

    ask(databases, dead_database)

    assert databases.causes[dead_database] is not first
    assert isinstance(databases.causes[dead_database], OperationalError)


# AllDatabasesDead


def test_that_all_are_dead_is_said_with_each_cause_on_one_line():
    error = AllDatabasesDead({"a": OperationalError("connection\n  refused\n"), "b": ValueError()})

    assert isinstance(error, SchwartzError)
    assert str(error) == (
        "No queue database can be used ('a': connection refused; 'b': ValueError)."
    )


def test_that_all_are_dead_is_said_even_if_there_are_none():
    assert str(AllDatabasesDead({})) == "No queue database can be used (none is configured)."


def test_the_causes_can_be_asked_for(dead_database):
    client = TheSchwartz([dead_database])

    with pytest.raises(AllDatabasesDead) as raised:
        client.dispatch_async("Note")

    assert raised.value.causes == {dead_database: client.databases.causes[dead_database]}
    assert str(client.databases.causes[dead_database]).split()[0] in str(raised.value)


# using=


def test_using_asks_a_database_though_it_is_dead(dead_database, database):
    client = TheSchwartz([dead_database, database])
    ask(client.databases, dead_database)

    with pytest.raises(OperationalError):
        client.dispatch_async("Note", using=dead_database)

    assert Job.objects.using(database).count() == 0


def test_using_goes_to_a_database_that_is_not_the_clients(two_databases):
    client = TheSchwartz(["sqlite"])

    handle = client.dispatch_async("Note", using="postgresql")

    assert handle.alias == "postgresql"
    assert handle.is_pending


def test_using_wins_over_the_open_transaction(two_databases):
    client = TheSchwartz(["sqlite", "postgresql"])

    with transaction.atomic(using="sqlite"):
        handle = client.dispatch_async("Note", using="postgresql")

    assert handle.alias == "postgresql"


def test_using_wins_over_the_home_of_a_uniqkey(two_databases):
    client = TheSchwartz(["sqlite", "postgresql"])

    handles = [client.dispatch_async("Note", uniqkey=key, using="sqlite") for key in "abcdef"]

    assert {handle.alias for handle in handles} == {"sqlite"}
