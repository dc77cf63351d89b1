"""runschwartz: the worker process."""

import argparse
import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from django_schwartz.checks import pool_too_small
from django_schwartz.child import Orders
from django_schwartz.client import TheSchwartz
from django_schwartz.conf import conf
from django_schwartz.databases import usual_patience
from django_schwartz.engine import Terms, set_deadlines
from django_schwartz.exceptions import UnknownFunction
from django_schwartz.logs import enumerated, show_log
from django_schwartz.management.arguments import at_least, databases, positive
from django_schwartz.performance import StopNow
from django_schwartz.reloading import start_anew, watch_code
from django_schwartz.runner import Runner, stopping_on_signals
from django_schwartz.signals import printable
from django_schwartz.starting import context
from django_schwartz.supervisor import Plan, Supervisor, obeying_signals
from django_schwartz.upgrades import LOOK_SECONDS, wait_for_migrations
from django_schwartz.worker import registry

logger = logging.getLogger("django_schwartz")

#: Held back until there is somebody to stop.
STOPPING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
LEVELS = {0: logging.WARNING, 1: logging.INFO}
#: Options that are of worker processes alone.
OF_PROCESSES = ("threads", "async_concurrency", "max_rss", "max_age", "shutdown_timeout")


class Command(BaseCommand):
    help = "Grabs jobs from the queue and performs them, until told to stop by SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        _add_what_to_perform(parser.add_argument_group("what to perform"))
        _add_how_many(parser.add_argument_group("how many at a time"))
        _add_limits(parser.add_argument_group("when a process, or all, should end"))
        parser.add_argument(
            "--healthcheck",
            type=Path,
            metavar="FILE",
            help="Keep this file's date at the latest sign of life of the slowest process.",
        )
        parser.add_argument(
            "--delay",
            type=positive(float),
            metavar="SECONDS",
            help="Seconds between two polls when nothing is due (SCHWARTZ['POLL_SECONDS']).",
        )
        parser.add_argument(
            "--reload",
            action=argparse.BooleanOptionalAction,
            default=settings.DEBUG,
            help="Start anew, between two jobs, when the code changes. On where DEBUG is.",
        )
        self._defaults = {name: parser.get_default(name) for name in OF_PROCESSES}

    def check(self, **options: Any) -> None:  # type: ignore[override]
        """Check all but what asks the databases: one that is away is waited for, not failed on."""
        super().check(**{**options, "databases": []})

    def handle(self, *args: object, **options: Any) -> None:
        show_log(LEVELS.get(options["verbosity"], logging.DEBUG))
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            self._run(options)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _run(self, options: dict[str, Any]) -> None:
        _check_folder_of(options["healthcheck"])
        context()  # decided while this process has but one thread
        aliases = databases(options["databases"] or conf().databases)
        if options["processes"]:
            _check_that_children_see(aliases)
        set_deadlines(aliases, deadline_seconds=conf().deadline_seconds)
        missing = wait_for_migrations(aliases, pause=_pause)
        if missing is None:
            logger.info("stopped")
            return
        ready = [alias for alias in aliases if alias not in missing]
        client = self._client(options["workers"], ready)
        client.queues = options["queues"] or []
        client.excluded_queues = options["excluded_queues"] or []
        run = self._supervise if options["processes"] else self._run_here
        if run(client, options, missing):
            logger.info("the code changed: starting anew")
            start_anew()

    def _supervise(
        self, client: TheSchwartz, options: dict[str, Any], missing: dict[str, list[str]]
    ) -> bool:
        """Run to the end; True if that is a change of the code."""
        orders = _orders(client, options, missing)
        _check_that_pools_suffice(orders)
        supervisor = Supervisor(
            orders,
            Plan(
                processes=options["processes"],
                shutdown_timeout=options["shutdown_timeout"],
                healthcheck=options["healthcheck"],
            ),
        )
        changes = _changes_of_code(supervisor.stop) if options["reload"] else []
        with obeying_signals(supervisor):
            _begin(client)
            supervisor.run()
        if supervisor.killed_by:
            raise SystemExit(128 + supervisor.killed_by)
        logger.info("stopped")
        return bool(changes)

    def _run_here(
        self, client: TheSchwartz, options: dict[str, Any], missing: dict[str, list[str]]
    ) -> bool:
        """The same in this process."""
        if vain := [name for name, usual in self._defaults.items() if options[name] != usual]:
            given = ", ".join(f"--{name.replace('_', '-')}" for name in vain)
            logger.warning("--processes 0 performs one job after the other: no use for %s", given)
        if not options["workers"]:
            client.can_do_all()
        aliases = [*client.databases.aliases, *missing]
        client.databases.deadline_seconds = usual_patience(aliases)
        runner = Runner(
            client,
            delay=options["delay"] or conf().poll_seconds,
            until_done=options["until_done"],
            max_jobs=options["max_jobs"],
            healthcheck=options["healthcheck"],
            missing=missing,
        )
        changes = _changes_of_code(runner.stop) if options["reload"] else []
        with stopping_on_signals(runner):
            _begin(client)
            try:
                runner.run()
            except StopNow as stop:
                raise SystemExit(128 + stop.args[0]) from None
        logger.info("stopped after %d jobs", runner.performed)
        return bool(changes)

    @staticmethod
    def _client(workers: list[str] | None, databases: list[str]) -> TheSchwartz:
        client = TheSchwartz(databases)
        if workers is None:
            client.can_do_registered()
        try:
            for name in workers or []:
                client.can_do(name)
        except UnknownFunction as error:
            raise CommandError(str(error)) from error
        if not client.all_abilities and not registry.finders:
            raise CommandError(
                "No worker is registered. Put a Worker class under @register into a "
                "module `workers` of an installed app."
            )
        return client


def _add_what_to_perform(group: argparse._ArgumentGroup) -> None:
    repeatable: dict[str, Any] = {"action": "append", "metavar": "NAME"}
    group.add_argument(
        "--worker",
        **repeatable,
        dest="workers",
        help="Perform jobs of this worker only. Repeatable; all registered workers otherwise.",
    )
    group.add_argument(
        "--queue",
        **repeatable,
        dest="queues",
        help='Perform jobs of this queue only; "default" has those that name none. Repeatable.',
    )
    group.add_argument(
        "--exclude-queue",
        **repeatable,
        dest="excluded_queues",
        help="Perform no jobs of this queue. Repeatable.",
    )
    group.add_argument(
        "--database",
        **{**repeatable, "metavar": "ALIAS"},
        dest="databases",
        help="Look in this database only. Repeatable; SCHWARTZ['DATABASES'] otherwise.",
    )


def _add_how_many(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--processes",
        type=at_least(0),
        default=1,
        metavar="N",
        help="Worker processes (1). 0: perform one job after the other in this process.",
    )
    group.add_argument(
        "--threads",
        type=at_least(1),
        default=4,
        metavar="N",
        help="Jobs that each process performs at a time (4).",
    )
    group.add_argument(
        "--async-concurrency",
        type=at_least(1),
        default=100,
        metavar="N",
        help="Jobs of `async def work` that each process performs at a time (100).",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--until-done", action="store_true", help="End when nothing is due.")
    group.add_argument(
        "--max-jobs",
        type=positive(int),
        metavar="N",
        help="Replace a process after about N jobs; with --processes 0, end after N jobs.",
    )
    group.add_argument(
        "--max-rss",
        type=positive(float),
        metavar="MB",
        help="Replace a process that holds more memory than about that.",
    )
    group.add_argument(
        "--max-age",
        type=positive(float),
        metavar="SECONDS",
        help="Replace a process after about that time.",
    )
    group.add_argument(
        "--shutdown-timeout",
        type=positive(float),
        default=30.0,
        metavar="SECONDS",
        help="After SIGTERM or SIGINT, time for running jobs; then they are given back (30).",
    )


def _check_folder_of(healthcheck: Path | None) -> None:
    if healthcheck and not healthcheck.parent.is_dir():
        raise CommandError(
            f"--healthcheck: there is no folder {healthcheck.parent}; make it first."
        )


def _pause() -> bool:
    """Wait a little; whether a signal came that is held back."""
    time.sleep(LOOK_SECONDS)
    return bool(signal.sigpending() & STOPPING and signal.sigwait(STOPPING))


def _begin(client: TheSchwartz) -> None:
    """Let signals come, now that there is somebody to stop."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    names = list(map(printable, client.all_abilities))
    logger.info("performing %s", enumerated(names, most=20) or "tasks")


def _orders(client: TheSchwartz, options: dict[str, Any], missing: dict[str, list[str]]) -> Orders:
    megabyte = 1_000_000
    limits = {
        "max_jobs": options["max_jobs"],
        "max_rss": options["max_rss"] and options["max_rss"] * megabyte,
        "max_age": options["max_age"],
    }
    return Orders(
        databases=[*client.databases.aliases, *missing],
        missing=missing,
        names={alias: connections.settings[alias]["NAME"] for alias in connections},
        abilities=client.all_abilities if options["workers"] else None,
        queues=client.queues,
        excluded_queues=client.excluded_queues,
        log_level=LEVELS.get(options["verbosity"], logging.DEBUG),
        terms={
            "threads": options["threads"],
            "async_concurrency": options["async_concurrency"],
            "lease_seconds": conf().lease_seconds,
            "deadline_seconds": conf().deadline_seconds,
            "poll_seconds": options["delay"] or conf().poll_seconds,
            "until_done": options["until_done"],
            **{name: limit for name, limit in limits.items() if limit},
        },
    )


def _check_that_children_see(aliases: Sequence[str]) -> None:
    """Raise CommandError if other processes could not see what is queued there."""
    for connection in (connections[alias] for alias in aliases):
        is_in_memory = connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]
        if connection.in_atomic_block or is_in_memory:
            where = "in memory" if is_in_memory else "in an open transaction"
            raise CommandError(
                f"Worker processes cannot see what is {where} ({connection.alias!r}): use "
                "--processes 0, which performs jobs in this process."
            )


def _check_that_pools_suffice(orders: Orders) -> None:
    """Raise CommandError if threads would wait for each other's connections, maybe for ever."""
    for alias in orders.databases:
        if message := pool_too_small(alias, Terms(**orders.terms)):
            raise CommandError(message)


def _changes_of_code(stop: Callable[[], object]) -> list[bool]:
    """Stop at a change of the code, of which the list, empty until then, tells."""
    changes: list[bool] = []

    def restart() -> None:
        changes.append(True)
        stop()

    watch_code(restart)
    return changes
