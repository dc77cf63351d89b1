"""D4 to D7: connections that are reset, lose a reply, or lead nowhere."""

import socket
import time

import pytest

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import AllDatabasesDead
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


def test_a_dispatch_over_a_connection_that_was_reset_goes_to_the_next_database(wire, database):
    client = asking_first("wired", database)
    first = client.dispatch_async("Mail")

    wire.reset()
    second = client.dispatch_async("Mail")

    assert (first.alias, second.alias) == ("wired", database)


def test_a_dispatch_whose_reply_is_lost_is_refused_and_its_uniqkey_queues_it_once(wire, database):
    wired = TheSchwartz(["wired"])
    FuncMap.objects.get_or_make("Mail", using="wired")
    wire.lose_reply_to('INSERT INTO "django_schwartz_job"')

    with pytest.raises(AllDatabasesDead):
        wired.dispatch_async("Mail", uniqkey="once")
    again = wired.dispatch_async("Mail", uniqkey="once")

    assert wire.has_lost.is_set()
    assert again.is_duplicate
    assert Job.objects.count() == 1


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
