"""What the processes of a torture are told, by way of their environment. Imports no settings."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Self

from django.core.exceptions import ImproperlyConfigured

VARIABLE = "DJANGO_SCHWARTZ_TORTURE"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """`skew` is the seconds by which the clocks of the process are wrong."""

    settings: str
    ledger: str
    databases: list[str]
    lease_seconds: int
    #: The process without which the others end.
    keeper: int
    plant: str = ""
    skew: int = 0

    @classmethod
    def given(cls) -> Self:
        """Those of the environment. Raises ImproperlyConfigured where there are none."""
        if VARIABLE not in os.environ:
            raise ImproperlyConfigured(
                "Take django_schwartz.torture out of INSTALLED_APPS: schwartz_torture, a command of"
                " django_schwartz itself, adds it in its own processes."
            )
        return cls(**json.loads(os.environ[VARIABLE]))

    def as_environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}
