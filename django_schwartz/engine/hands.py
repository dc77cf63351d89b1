"""The hands: what they grab is held, even if the database's reply is lost."""

import time
from collections.abc import Callable
from dataclasses import replace

from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import LAPSED, Lease
from django_schwartz.engine.holds import Holds
from django_schwartz.engine.ledger import Ledger
from django_schwartz.models import Job

#: The shortest lease, in seconds, that a short grab_for makes.
SHORTEST_SECONDS = 5


class Hands:
    """Grabs for a client, by leases that are renewed.

    A lease is `lease_seconds` long, or as long as the worker's grab_for if that is less; but long
    enough to be renewed, and to stop a job whose grab_for is over.
    """

    def __init__(
        self,
        client: TheSchwartz,
        holds: Holds,
        ledger: Ledger,
        *,
        abilities: Callable[[], list[str]],
        lease_seconds: int,
    ) -> None:
        self.client = client
        self.holds = holds
        self._abilities = abilities
        self._ledger = ledger
        self._lease_seconds = lease_seconds
        #: By alias, a grab whose reply did not come, and when it was made.
        self._unanswered: dict[str, tuple[Lease, float]] = {}

    @property
    def has_abilities(self) -> bool:
        return bool(self._abilities())

    def take(self, alias: str, grab: Callable[[Lease], list[Job]]) -> list[Job]:
        """What the grab grabs; or what the one before it grabbed, whose reply was lost."""
        terms = self.client.lease(self._abilities(), alias)
        if alias in self._unanswered:
            lease, leased_at = self._unanswered[alias]
            found = _found(alias, lease)
            self._hold(alias, found, terms, lease, leased_at)
            if found:
                return found
        lease, leased_at = self._shortened(terms), time.monotonic()
        grabbed = self._grab(alias, grab, lease, leased_at) if lease.seconds else []
        self._hold(alias, grabbed, terms, lease, leased_at)
        return grabbed

    def _hold(
        self, alias: str, jobs: list[Job], terms: Lease, lease: Lease, leased_at: float
    ) -> None:
        for job in jobs:
            self.holds.add(
                job,
                lease_seconds=lease.seconds[job.func_id],
                leased_at=leased_at,
                grab_for=terms.seconds[job.func_id],
            )
        self._unanswered.pop(alias, None)
        self._ledger.open_grab = 0

    def _shortened(self, terms: Lease) -> Lease:
        wanted = {funcid: max(s, SHORTEST_SECONDS) for funcid, s in terms.seconds.items()}
        return replace(terms, seconds={f: min(s, self._lease_seconds) for f, s in wanted.items()})

    def _grab(
        self, alias: str, grab: Callable[[Lease], list[Job]], lease: Lease, leased_at: float
    ) -> list[Job]:
        self._ledger.open_grab = lease.number
        self._unanswered[alias] = lease, leased_at
        return grab(lease)


def _found(alias: str, lease: Lease) -> list[Job]:
    """The jobs of a grab that the database made, though nobody was told."""
    holders = [lease.grabbed_by, lease.grabbed_by + LAPSED]
    return list(Job.objects.using(alias).grabbed().filter(grabbed_by__in=holders))
