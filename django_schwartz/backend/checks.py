"""What is wrong with TASKS, alone and together with SCHWARTZ."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from django.core.checks import CheckMessage

if TYPE_CHECKING:
    from django_schwartz.backend.backend import SchwartzBackend


def check_backend(backend: "SchwartzBackend") -> Iterator[CheckMessage]:
    return iter(())
