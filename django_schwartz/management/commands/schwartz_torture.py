"""schwartz_torture: breaks the queue in every way, and tells whether anything was lost."""

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from django_schwartz.conf import conf
from django_schwartz.torture.plants import PLANTS
from django_schwartz.torture.report import report
from django_schwartz.torture.storm import Plan, Storm


class Command(BaseCommand):
    help = (
        "Dispatches jobs of every kind while it kills workers and cuts connections, then tells "
        "whether a job was lost, stuck, or performed twice without a reason."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        whole: dict[str, Any] = {"type": int, "metavar": "N"}
        seconds: dict[str, Any] = {"type": float, "metavar": "SECONDS"}
        parser.add_argument(
            "--database",
            action="append",
            metavar="ALIAS",
            dest="databases",
            help="A queue database. Repeatable; SCHWARTZ['DATABASES'] otherwise.",
        )
        parser.add_argument(
            "--seconds", **seconds, default=60, help="Time of load and faults (60)."
        )
        parser.add_argument("--jobs", **whole, help="Jobs in that time (30 a second).")
        parser.add_argument("--seed", **whole, help="What is drawn at random (at random).")
        parser.add_argument("--hosts", **whole, default=2, help="Supervisors at a time (2).")
        parser.add_argument("--processes", **whole, default=2, help="Processes of each (2).")
        parser.add_argument("--threads", **whole, default=4, help="Threads of each process (4).")
        parser.add_argument(
            "--pause", **seconds, default=0.3, help="Time between two faults (0.3)."
        )
        parser.add_argument(
            "--lease-seconds", **whole, default=4, help="LEASE_SECONDS of the workers (4)."
        )
        parser.add_argument(
            "--drain-seconds",
            **seconds,
            default=180,
            help="Time for what is left, before it counts as stuck (180).",
        )
        parser.add_argument(
            "--restart-command",
            default="",
            metavar="COMMAND",
            help="Restart the database by this command, about every 10 seconds.",
        )
        parser.add_argument(
            "--skew",
            **whole,
            default=0,
            help="Have the clocks of every second host wrong by N seconds, by libfaketime.",
        )
        parser.add_argument(
            "--plant",
            choices=sorted(filter(None, PLANTS)),
            default="",
            help="Break the package first, to see that it is found.",
        )

    def handle(self, *args: object, **options: Any) -> None:
        plan = _plan(options)
        folder = Path(tempfile.mkdtemp(prefix="schwartz_torture_"))
        self.stdout.write(f"ledger and log, kept if something is wrong: {folder}; seed {plan.seed}")
        account, audit = Storm(plan, folder).run()
        self.stdout.write(report(account, audit, seed=plan.seed))
        if not audit.is_clean:
            raise SystemExit(1)
        shutil.rmtree(folder)


def _plan(options: dict[str, Any]) -> Plan:
    databases = options["databases"] or list(conf().databases)
    for alias in databases:
        if alias not in connections:
            raise CommandError(f"DATABASES has no {alias!r}; it has {', '.join(connections)}.")
    given = {name: options[name] for name in _NAMES}
    seed = random.randrange(10**6) if options["seed"] is None else options["seed"]  # noqa: S311
    jobs = options["jobs"] or int(30 * options["seconds"])
    return Plan(**{**given, "databases": databases, "seed": seed, "jobs": jobs})


#: Options that a plan takes as they are.
_NAMES = (
    "seconds",
    "hosts",
    "processes",
    "threads",
    "pause",
    "lease_seconds",
    "drain_seconds",
    "restart_command",
    "skew",
    "plant",
)
