"""What the processes of a torture are told, by way of their environment. Imports no settings."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Self

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
        return cls(**json.loads(os.environ[VARIABLE]))

    def as_environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}
