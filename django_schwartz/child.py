"""A worker process of the supervisor's, from its first line on. Imports no model before setup."""

import atexit
import gc
import logging
import os
import random
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import django

from django_schwartz.os_signals import dump_stacks, obey

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from django_schwartz.client import TheSchwartz
    from django_schwartz.engine import Engine

logger = logging.getLogger("django_schwartz")

#: Limits after which a process is replaced are off by up to this share of them, so that not all
#: processes are replaced at once.
JITTER = 0.1
LIMITS = ("max_jobs", "max_rss", "max_age")
#: Seconds for which an end in order waits for what jobs left behind.
LEFTOVER_SECONDS = 5
#: New objects, at the least, between two looks for garbage: the jobs of a batch are many, and none.
FEW_OBJECTS = 10_000


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a child is told. `terms` are those of an Engine.

    `names` are the names of all databases by alias, since a test changes those of the settings.
    `abilities` None are all that there are, and all to come. `missing` are the migrations that some
    of the databases lack.
    """

    databases: list[str]
    names: dict[str, Any]
    abilities: list[str] | None
    log_level: int
    missing: dict[str, list[str]] = field(default_factory=dict)
    queues: list[str] = field(default_factory=list)
    excluded_queues: list[str] = field(default_factory=list)
    terms: dict[str, Any] = field(default_factory=dict)


def main(orders: Orders, name: str, memory: "Buffer", assigned: Connection | None = None) -> None:
    """Perform jobs until told to stop; those that are `assigned`, or any."""
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach all; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    set_title(name)
    django.setup()
    from django_schwartz.logs import show_log

    show_log(orders.log_level)
    _collect_seldom()
    engine = _engine(orders, memory, assigned)
    obey({signal.SIGTERM: lambda _: engine.stop(), signal.SIGUSR1: dump_stacks})
    threading.Thread(target=_stop_without_parent, args=[engine], daemon=True).start()
    engine.run()
    if engine.is_stuck:
        leave_at_once()
    _leave_soon()
    atexit._run_exitfuncs()  # a fork ends without them before Python 3.13


def _engine(orders: Orders, memory: "Buffer", assigned: Connection | None) -> "Engine":
    from django.db import connections

    from django_schwartz.engine import Engine, Ledger, Terms, set_deadlines

    for alias, name in orders.names.items():
        connections.settings[alias]["NAME"] = name
    set_deadlines(orders.databases, deadline_seconds=orders.terms["deadline_seconds"])
    client = _client(orders)
    terms = Terms(**{**orders.terms, **_jittered(orders.terms)})
    ledger = Ledger(memory, orders.databases)
    return Engine(client, ledger, terms, assigned=assigned, missing=orders.missing)


def _client(orders: Orders) -> "TheSchwartz":
    from django_schwartz.client import TheSchwartz

    client = TheSchwartz([alias for alias in orders.databases if alias not in orders.missing])
    client.queues, client.excluded_queues = orders.queues, orders.excluded_queues
    if orders.abilities is None:
        client.can_do_all()
    for ability in orders.abilities or ():
        client.can_do(ability)
    return client


def _jittered(terms: dict[str, Any]) -> dict[str, float]:
    share = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 # no secret
    return {limit: max(1, terms[limit] * share) for limit in LIMITS if limit in terms}


def _stop_without_parent(engine: "Engine") -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        logger.warning("the supervisor is gone: finishing what runs")
        engine.stop()


def _leave_soon() -> None:
    """Give what user code left behind, threads and exit handlers, a little time to end."""
    timer = threading.Timer(LEFTOVER_SECONDS, _leave_leftovers)
    timer.daemon = True
    timer.start()


def _leave_leftovers() -> None:
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    names = ", ".join(thread.name for thread in others if not thread.daemon)
    logger.warning("left behind by a job and cut off: %s", names or "an exit handler")
    leave_at_once()


def leave_at_once() -> None:
    """End though threads still run, which an end in order would wait for."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(0)


def _collect_seldom() -> None:
    often = gc.get_threshold()[0]
    if often:  # the project has it done at all
        gc.set_threshold(max(often, FEW_OBJECTS))


def set_title(name: str) -> None:
    """Show in the list of processes what this one does, where `setproctitle` is installed."""
    with suppress(ImportError):
        from setproctitle import setproctitle

        setproctitle(f"runschwartz: {name}")
