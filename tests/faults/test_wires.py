"""D4 to D7: connections that are reset, lose a reply, or lead nowhere."""

import socket
import threading
import time

import pytest
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.engine import set_deadlines
from django_schwartz.models import FuncMap, Job
from tests.faults.conftest import asking_first
from tests.waiting import until

pytestmark = pytest.mark.only_on("postgresql")


def test_an_idle_worker_whose_connections_are_reset_goes_on(wire, working, client, performed):
    with working("wired", "Mail"):
        client.dispatch_async("Mail", "before")
        until(lambda: performed)

        wire.reset()
        handle = client.dispatch_async("Mail", "after")

        until(lambda: not handle.is_pending)
    assert performed == ["before", "after"]
    assert handle.failures == 0


def test_a_dispatch_over_a_connection_that_was_reset_is_made_again_on_a_new_one(wire, database):
    client = asking_first("wired", database)
    first = client.dispatch_async("Mail")

    wire.reset()
    second = client.dispatch_async("Mail")

    assert (first.alias, second.alias) == ("wired", "wired")
    assert Job.objects.count() == 2


def test_a_dispatch_whose_reply_is_lost_is_made_again_and_its_uniqkey_queues_it_once(wire):
    wired = TheSchwartz(["wired"])
    FuncMap.objects.get_or_make("Mail", using="wired")
    wire.lose_reply_to('INSERT INTO "django_schwartz_job"')

    handle = wired.dispatch_async("Mail", uniqkey="once")

    assert wire.has_lost.is_set()
    assert handle.is_duplicate
    assert Job.objects.count() == 1


def test_a_dispatch_whose_reply_is_lost_is_queued_once_more(wire, working, database, performed):
    client = asking_first("wired", database)
    FuncMap.objects.get_or_make("Mail", using="wired")
    wire.lose_reply_to('INSERT INTO "django_schwartz_job"')

    handle = client.dispatch_async("Mail", "unknown")
    number = Job.objects.count()
    with working(database, "Mail"):  # both are ways to one database
        until(lambda: not Job.objects.exists())

    assert wire.has_lost.is_set()
    assert (handle.alias, handle.exit_status) == ("wired", 0)
    assert number == len(performed) == 2


def test_a_commit_whose_reply_is_lost_tears_no_dispatch_of_many(wire, database):
    client = asking_first("wired", database)
    FuncMap.objects.get_or_make("Mail", using="wired")
    wire.lose_reply_to("COMMIT")

    handles = client.dispatch_jobs(Job(funcname="Mail", arg=n) for n in range(3))

    assert wire.has_lost.is_set()
    assert {handle.alias for handle in handles} == {"wired"}
    assert sorted(job.arg for job in Job.objects.all()) == [0, 0, 1, 1, 2, 2]


def test_a_grab_whose_reply_is_lost_is_found_again_within_its_lease(
    wire, working, client, performed
):
    with working("wired", "Mail", lease_seconds=60):
        wire.lose_reply_to("SET grabs")
        handle = client.dispatch_async("Mail", "grabbed")

        until(lambda: not handle.is_pending)
    assert wire.has_lost.is_set()
    assert performed == ["grabbed"]
    assert (handle.exit_status, handle.failures) == (0, 0)


def test_an_outcome_whose_reply_is_lost_is_recorded_once(wire, working, client, performed):
    with working("wired", "Mail", lease_seconds=60):
        wire.lose_reply_to("DELETE FROM")
        handle = client.dispatch_async("Mail", "completed")

        until(wire.has_lost.is_set)
        until(lambda: not handle.is_pending)
    assert performed == ["completed"]
    assert (handle.exit_status, handle.failures) == (0, 0)


def test_a_server_that_never_answers_holds_a_dispatch_up_for_connect_timeout(
    database, add_database
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {"connect_timeout": 2}
        add_database("hole", HOST="127.0.0.1", PORT=silent.getsockname()[1], OPTIONS=options)
        client = asking_first("hole", database)
        began = time.monotonic()

        handle = client.dispatch_async("Mail")

        assert handle.alias == database
        assert 1.9 < time.monotonic() - began < 10


def test_a_wire_that_goes_dead_holds_up_no_job_of_another_database_for_longer_than_the_deadline(
    wire, broken, working, performed
):
    wired, other = TheSchwartz(["wired"]), TheSchwartz(["broken"])
    terms = {"lease_seconds": 60, "retry_seconds": 1, "deadline_seconds": 2}
    with working(["broken", "wired"], "Mail", **terms):
        wired.dispatch_async("Mail", "before")
        until(lambda: performed == ["before"])
        connections["wired"].close()
        wire.stall()
        waits = []
        for number in range(40):
            began = time.monotonic()
            other.dispatch_async("Mail", number)
            until(lambda number=number: number in performed)
            waits.append(time.monotonic() - began)
            threading.Event().wait(0.1)
        wire.flow()
        after = wired.dispatch_async("Mail", "after")
        until(lambda: not after.is_pending)
        connections["broken"].close()

    print(f"the longest wait {max(waits):.2f} s")
    assert max(waits) < 3
    assert sorted(performed, key=str) == sorted([*range(40), "before", "after"], key=str)


def test_a_worker_gives_up_a_connection_that_nothing_comes_back_on(database, add_database):
    alias = add_database("other", OPTIONS={})

    set_deadlines([alias])
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
        info = connections[alias].connection.info

    assert info.get_parameters()["connect_timeout"] == "10"
    assert info.get_parameters()["tcp_user_timeout"] == "30000"
