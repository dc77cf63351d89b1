"""What is wrong with a backend of TASKS, alone and together with SCHWARTZ."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import DEFAULT_DB_ALIAS

from django_schwartz.conf import Conf

OPTIONS = ("database", "keep_results_for")


def check_options(alias: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """Judge the OPTIONS of TASKS[alias]."""
    if not apps.is_installed("django_schwartz"):
        yield Error(
            f"TASKS[{alias!r}] needs the app django_schwartz, which is not installed.",
            hint="Add 'django_schwartz' to INSTALLED_APPS.",
            id="django_schwartz.E020",
        )
    yield from _unknown_options(alias, options)
    yield from _wrong_seconds(alias, options.get("keep_results_for"))
    yield from _wrong_database(alias, options.get("database"), _queue_databases())


def _unknown_options(alias: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name in sorted(set(options) - set(OPTIONS), key=str):
        close = get_close_matches(str(name).lower(), OPTIONS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"The options are {', '.join(OPTIONS)}."
        yield Error(
            f"TASKS[{alias!r}] has the option {name!r}, which is none.",
            hint=hint,
            id="django_schwartz.E021",
        )


def _wrong_seconds(alias: str, seconds: object) -> Iterator[CheckMessage]:
    if seconds is None or _is_duration(seconds):
        return
    yield Error(
        f"TASKS[{alias!r}] keeps results for {seconds!r}; it must be a number of seconds.",
        hint="0 keeps none.",
        id="django_schwartz.E022",
    )


def _is_duration(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isfinite(value) and value >= 0


def _queue_databases() -> Sequence[str]:
    """What SCHWARTZ["DATABASES"] says; the other checks tell when it is wrong."""
    given = getattr(settings, "SCHWARTZ", {})
    aliases = given.get("DATABASES") if isinstance(given, dict) else None
    return aliases if isinstance(aliases, list | tuple) else Conf.databases


def _wrong_database(alias: str, database: object, queues: Sequence[str]) -> Iterator[CheckMessage]:
    if database is None:
        return
    if database not in queues:
        yield Error(
            f"TASKS[{alias!r}] has the database {database!r}, which SCHWARTZ['DATABASES'] does not "
            "name: no worker would look there.",
            hint=f"SCHWARTZ['DATABASES'] names {', '.join(map(str, queues))}.",
            id="django_schwartz.E023",
        )
    elif database != DEFAULT_DB_ALIAS and DEFAULT_DB_ALIAS in queues:
        yield CheckWarning(
            f'TASKS[{alias!r}] has another database than "default": enqueue() is no part of the '
            "transactions there.",
            hint="Enqueue with transaction.on_commit(), or leave the option 'database' out.",
            id="django_schwartz.W020",
        )
