"""What a project tests its jobs with: who was dispatched, workers that work, a clock to move.

All of it runs inside Django's TestCase and commits nothing there.
"""

from django_schwartz.testing.clock import Clock
from django_schwartz.testing.dispatched import (
    assert_dispatched,
    assert_not_dispatched,
    dispatched,
)
from django_schwartz.testing.idempotence import NotIdempotent, check_idempotent
from django_schwartz.testing.work import Performed, assert_completed, inline, work_until_done

__all__ = [
    "Clock",
    "NotIdempotent",
    "Performed",
    "assert_completed",
    "assert_dispatched",
    "assert_not_dispatched",
    "check_idempotent",
    "dispatched",
    "inline",
    "work_until_done",
]
