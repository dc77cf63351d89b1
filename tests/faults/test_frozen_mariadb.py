"""D8 on MariaDB: a frozen one of two servers."""

import signal
import threading
import time

import pytest
from django.core.management import call_command
from django.db import connections

from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job
from tests import mariadb
from tests.processes import children_of, send
from tests.waiting import until

pytestmark = [pytest.mark.only_on("mysql"), pytest.mark.timeout(150)]
DEADLINE_SECONDS = 2


@pytest.fixture
def server(database, add_database):
    """The process of another server, whose alias is `other`."""
    server = mariadb.start()
    if server is None:
        pytest.skip("no MariaDB is installed, so that none can be frozen")
    [pid] = children_of(server.keeper.pid)
    add_database("other", **{**server.settings, "NAME": "mysql"})
    with connections["other"].cursor() as cursor:
        cursor.execute("CREATE DATABASE queue CHARACTER SET utf8mb4")
    connections["other"].close()
    connections["other"].settings_dict["NAME"] = connections.settings["other"]["NAME"] = "queue"
    call_command("migrate", "django_schwartz", database="other", verbosity=0)
    connections["other"].close()
    yield pid
    send(pid, signal.SIGCONT)
    connections["other"].close()
    server.stop()


def test_a_frozen_server_holds_up_no_job_of_another_for_longer_than_the_deadline(
    server, database, working, performed, client
):
    other = TheSchwartz(["other"])
    other.dispatch_async("Mail", "before")
    connections["other"].close()
    terms = {"lease_seconds": 60, "retry_seconds": 2, "deadline_seconds": DEADLINE_SECONDS}

    with working([database, "other"], "Mail", **terms):
        until(lambda: performed == ["before"])
        send(server, signal.SIGSTOP)
        waits, end = [], time.monotonic() + 12
        while time.monotonic() < end:
            began = time.monotonic()
            client.dispatch_async("Mail", len(waits))
            until(lambda: len(waits) in performed)
            waits.append(time.monotonic() - began)
            threading.Event().wait(0.02)
        send(server, signal.SIGCONT)
        after = other.dispatch_async("Mail", "after")
        until(lambda: not after.is_pending)
        connections["other"].close()

    print(f"the longest of {len(waits)} waits {max(waits):.2f} s")
    assert max(waits) < DEADLINE_SECONDS + 1
    assert not Job.objects.exists()
    assert sorted(performed, key=str) == sorted([*range(len(waits)), "before", "after"], key=str)
