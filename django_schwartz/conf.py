"""The SCHWARTZ setting: each key with its type, unit and default.

``SCHWARTZ = {"RETRY_SECONDS": 10}`` is read at its first use as ``conf().retry_seconds``, and again
whenever the setting changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, kw_only=True)
class Conf:
    """One field a key; the key is the field's name in capitals."""

    #: Aliases of the databases that hold queues.
    databases: Sequence[str] = ("default",)
    #: Whether jobs of a higher priority are grabbed first.
    prioritize: bool = True
    #: The lowest priority that is grabbed; 0 is no floor.
    floor: int = 0
    #: Candidates looked at for one grab, where a database needs a second statement to grab.
    batch_size: int = 50
    #: Whether an ability removed for a while stays so until somebody restores it.
    strict_remove_ability: bool = False
    #: Seconds after which a dead database is tried again.
    retry_seconds: float = 30
    #: Seconds that an idle `runschwartz` waits before it looks again; at least 5 where the database
    #: tells it of new jobs.
    poll_seconds: float = 1
    #: Seconds for which `runschwartz` leases jobs, renewed while they are performed.
    lease_seconds: int = 60
    #: Seconds that a worker waits for one of several databases to answer, before it is dead.
    deadline_seconds: float = 5
    #: Bytes that the stored form of an arg may have.
    max_arg_bytes: int = 1_048_576


KEYS = tuple(field.name.upper() for field in fields(Conf))


@cache
def conf() -> Conf:
    """The settings in force.

    Raises ImproperlyConfigured for a key that does not exist; the system checks say more.
    """
    given: Mapping[str, Any] = getattr(settings, "SCHWARTZ", {})
    unknown = sorted(set(given) - set(KEYS))
    if unknown:
        raise ImproperlyConfigured(f"SCHWARTZ has no key {unknown[0]!r}. Known: {', '.join(KEYS)}.")
    return Conf(**{key.lower(): value for key, value in given.items()})


def forget_conf(*, setting: str, **_: object) -> None:
    """Read SCHWARTZ anew after override_settings."""
    if setting == "SCHWARTZ":
        conf.cache_clear()


setting_changed.connect(forget_conf)
