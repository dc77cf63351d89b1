"""Along: the jobs that a worker grabs to do along with the one that it performs."""

import time

from django.db import connections

from django_schwartz.dialects import Lease
from django_schwartz.engine.holds import Holds, shortened
from django_schwartz.engine.ledger import Ledger
from django_schwartz.models import Job
from django_schwartz.performance import Grab, Overdue
from django_schwartz.transactions import may_be_rolled_back

#: Jobs of this kind held at a time; those beyond have leases as long as their grab_for.
MOST = 500


class Along:
    """Has them held like the one that is performed, until its worker is done."""

    def __init__(self, holds: Holds, ledger: Ledger, *, lease_seconds: int) -> None:
        self._holds = holds
        self._ledger = ledger
        self._lease_seconds = lease_seconds

    def grab(self, job: Job, alias: str, lease: Lease, grab: Grab) -> list[Job]:
        """What the grab grabs, to be done along with that job, which is performed."""
        if not self._may_hold(job, alias):
            return grab(lease)
        short, leased_at = shortened(lease, self._lease_seconds), time.monotonic()
        with self._ledger.open_along(short.number):
            grabbed = grab(short)
            try:
                self._holds.add_grabbed(grabbed, short, terms=lease, leased_at=leased_at)
                for other in grabbed:
                    self._holds.begin_along(other, job)
            except Overdue:  # nobody would end them: they come back when their leases end
                self._holds.drop(grabbed)
                raise
        return grabbed

    def _may_hold(self, job: Job, alias: str) -> bool:
        """What a transaction has grabbed only it can see: a renewal would take it for lost."""
        is_ours = alias in self._holds.holders and self._holds.is_performed(job)
        has_room = self._holds.along < MOST
        return is_ours and has_room and not may_be_rolled_back(connections[alias])


def grab_none(job: Job, alias: str, lease: Lease, grab: Grab) -> list[Job]:
    """Let the job be performed alone."""
    return []
