"""System checks: what is wrong with the settings and the workers, before a job finds out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeGuard

import django
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import DEFAULT_DB_ALIAS, connections, router

from django_schwartz.conf import KEYS, Conf
from django_schwartz.dialects import DIALECTS, dialect_of
from django_schwartz.engine import LEAST_LEASE_SECONDS, Terms
from django_schwartz.models import Job
from django_schwartz.serializers import ARG_FORMATS
from django_schwartz.worker import Worker, registry

#: What a setting must be at the least, where that is more than anything above 0.
LEAST = {"LEASE_SECONDS": LEAST_LEASE_SECONDS}
#: What a worker class says in numbers.
NUMBERS = (
    "max_retries",
    "max_crashes",
    "retry_delay",
    "keep_exit_status_for",
    "grab_for",
    "keep_errors_for",
)


def check_settings(**_: object) -> list[CheckMessage]:
    given = getattr(settings, "SCHWARTZ", {})
    if not isinstance(given, dict):
        return [Error("SCHWARTZ must be a dict.", id="django_schwartz.E001")]
    return [*_unknown_keys(given), *_wrong_values(given)]


def _unknown_keys(given: dict[str, Any]) -> Iterator[CheckMessage]:
    for key in sorted(set(given) - set(KEYS), key=str):
        close = get_close_matches(str(key).upper(), KEYS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"The keys are {', '.join(KEYS)}."
        yield Error(f"SCHWARTZ has no key {key!r}.", hint=hint, id="django_schwartz.E002")


def _wrong_values(given: dict[str, Any]) -> Iterator[CheckMessage]:
    for field in fields(Conf):
        key = field.name.upper()
        least = LEAST.get(key, -math.inf)
        if key in given and (wrong := _what_is_wrong(given[key], field.default, least=least)):
            yield Error(f"SCHWARTZ[{key!r}] {wrong}.", id="django_schwartz.E003")


def _what_is_wrong(value: object, default: object, *, least: float) -> str | None:
    """What is wrong with a value in the place of this default, which tells the type, or None."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else f"must be True or False, not {value!r}"
    if isinstance(default, tuple):
        good = _are_texts(value) and value and len(set(value)) == len(value)
        return None if good else f"must be a list of one or more different aliases, not {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"must be a number, not {value!r}"
    if default and value <= 0:
        return f"must be more than 0, not {value!r}"
    if value < least:
        return f"must be {least} or more, not {value!r}"
    return None


def _are_texts(value: object) -> TypeGuard[Sequence[str]]:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _queue_aliases() -> Sequence[str] | None:
    """What SCHWARTZ["DATABASES"] says; None where that is no list."""
    given = getattr(settings, "SCHWARTZ", {})
    aliases = given.get("DATABASES", Conf.databases) if isinstance(given, dict) else None
    return aliases if isinstance(aliases, list | tuple) else None


def check_databases(**_: object) -> list[CheckMessage]:
    aliases = _queue_aliases()
    if aliases is None:
        return []
    messages: list[CheckMessage] = [
        Error(
            f"SCHWARTZ['DATABASES'] names {alias!r}, which DATABASES does not have.",
            hint=f"DATABASES has {', '.join(connections)}.",
            id="django_schwartz.E004",
        )
        for alias in aliases
        if alias not in connections
    ]
    messages += [
        Error(
            f"The queue database {alias!r} has AUTOCOMMIT off: nothing recorded there would stay.",
            hint="Leave AUTOCOMMIT out of it, and use atomic() where you want transactions.",
            id="django_schwartz.E007",
        )
        for alias in aliases
        if alias in connections and not connections.settings[alias]["AUTOCOMMIT"]
    ]
    if "default" not in aliases:
        messages.append(
            CheckWarning(
                '"default" holds no queue: a dispatch is no part of its transactions.',
                hint="Dispatch with on_commit=True, or add 'default' to SCHWARTZ['DATABASES'].",
                id="django_schwartz.W001",
            )
        )
        messages += _needless_tables()
    return messages


def _needless_tables() -> Iterator[CheckMessage]:
    is_there = connections[DEFAULT_DB_ALIAS].vendor in DIALECTS
    if is_there and router.allow_migrate_model(DEFAULT_DB_ALIAS, Job):
        yield CheckWarning(
            '"default" holds no queue, and yet `migrate` makes its tables there.',
            hint="Add 'django_schwartz.routers.QueueRouter' to DATABASE_ROUTERS; by it the admin"
            " finds the queue, too.",
            id="django_schwartz.W003",
        )


def check_pools(**_: object) -> list[CheckMessage]:
    """Judge the pools by what `runschwartz` needs without options; it judges by its own."""
    told = [pool_too_small(alias, Terms()) for alias in _queue_aliases() or ()]
    return [
        CheckWarning(
            message,
            hint="Raise OPTIONS['pool']['max_size'], or give runschwartz fewer --threads.",
            id="django_schwartz.W002",
        )
        for message in told
        if message
    ]


def pool_too_small(alias: str, terms: Terms) -> str | None:
    """What is wrong with a database's pool for a process that works on these terms, or None."""
    dialect = DIALECTS.get(connections[alias].vendor) if alias in connections else None
    most = dialect.most_connections(connections[alias]) if dialect else math.inf
    if most >= terms.connections:
        return None
    return (
        f"The pool of the database {alias!r} has {most} connections at most, and a worker process "
        f"of {terms.threads} threads needs {terms.connections}: the threads and its own four."
    )


def check_backport(**_: object) -> list[CheckMessage]:
    """Judge TASKS on a Django that has no tasks of its own."""
    given = getattr(settings, "TASKS", None)
    if django.VERSION >= (6, 0) or not any(map(_is_ours, given.values() if given else ())):
        return []
    if apps.is_installed("django_tasks"):
        return []
    return [
        Error(
            "TASKS names this queue, and Django has tasks from 6.0 on.",
            hint="Install django-tasks, the backport, and add 'django_tasks' to INSTALLED_APPS.",
            id="django_schwartz.E024",
        )
    ]


def _is_ours(params: object) -> bool:
    backend = params.get("BACKEND") if isinstance(params, dict) else None
    return isinstance(backend, str) and backend.startswith("django_schwartz.")


def check_servers(*, databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Ask the servers themselves; as Django's own, only of databases that are to be checked."""
    queues = _queue_aliases() or ()
    return [
        CheckWarning(
            f"The queue database {alias!r} has a setting to doubt: {doubt.message}.",
            hint=doubt.hint,
            id=f"django_schwartz.{doubt.id}",
        )
        for alias in databases or ()
        if alias in queues
        for doubt in dialect_of(connections[alias]).doubts(connections[alias])
    ]


def check_workers(**_: object) -> list[CheckMessage]:
    messages: list[CheckMessage] = [
        Error(
            f"{_path(second)} has the funcname {first.funcname!r}, which is {_path(first)}'s.",
            hint="Set another funcname on one of the classes.",
            obj=second,
            id="django_schwartz.E005",
        )
        for first, second in registry.conflicts
    ]
    for worker in registry:
        messages += [
            Error(f"{_path(worker)} {wrong}.", obj=worker, id="django_schwartz.E006")
            for wrong in _wrong_with(worker)
        ]
    return messages


def _wrong_with(worker: type[Worker]) -> Iterator[str]:
    if worker.work is Worker.work:
        yield "has no work() method"
    for name in NUMBERS:
        value = getattr(worker, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            yield f"has {name} = {value!r}; it must be a number, 0 or more"
    for name in ("retry_on", "fail_on"):
        value = getattr(worker, name)
        if not _are_exceptions(value):
            yield f"has {name} = {value!r}; it must be a tuple of exception classes"
    if worker.atomic and worker.is_async():
        yield "is atomic, and its work() a coroutine, which runs in no transaction"
    if worker.arg_format not in ARG_FORMATS:
        yield f"has arg_format = {worker.arg_format!r}; it must be one of {', '.join(ARG_FORMATS)}"
    funcname: object = worker.funcname
    if not (isinstance(funcname, str) and 1 <= len(funcname) <= 255):
        yield f"has the funcname {funcname!r}; it must have 1 to 255 characters"


def _are_exceptions(value: object) -> bool:
    """Whether an `except` takes it."""
    if isinstance(value, tuple):
        return all(map(_are_exceptions, value))
    return isinstance(value, type) and issubclass(value, BaseException)


def _path(worker: type[Worker]) -> str:
    return f"{worker.__module__}.{worker.__qualname__}"


CHECKS = (check_settings, check_databases, check_pools, check_workers, check_backport)
