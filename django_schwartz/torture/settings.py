"""The project's settings, for the processes of a torture: its app is in, its leases are short."""

from importlib import import_module
from typing import Any

from django_schwartz.torture.rules import Rules

_rules = Rules.given()
_own: Any = import_module(_rules.settings)

globals().update({name: getattr(_own, name) for name in dir(_own) if name.isupper()})

INSTALLED_APPS = [*_own.INSTALLED_APPS, "django_schwartz.torture"]
SCHWARTZ = {
    **getattr(_own, "SCHWARTZ", {}),
    "DATABASES": _rules.databases,
    "LEASE_SECONDS": _rules.lease_seconds,
}
