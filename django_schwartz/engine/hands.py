"""The hands: what they grab is held, even if the database's reply is lost."""

import time
from collections import defaultdict
from collections.abc import Callable

from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import Lease
from django_schwartz.engine.holds import Holds, shortened
from django_schwartz.engine.ledger import Ledger
from django_schwartz.models import Job

#: Seconds between two looks for what was grabbed unheard of.
LOOK_SECONDS = 1


class Hands:
    """Grabs for a client, by leases that are renewed."""

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
        #: By alias, the grabs whose replies did not come, and when each was made; and when to look
        #: for what they grabbed.
        self._unanswered: dict[str, list[tuple[Lease, float]]] = defaultdict(list)
        self._look_at: dict[str, float] = defaultdict(float)

    @property
    def has_abilities(self) -> bool:
        return bool(self._abilities())

    def take(self, alias: str, grab: Callable[[Lease], list[Job]]) -> list[Job]:
        """What the grab grabs; or what one before it grabbed, whose reply was lost."""
        terms = self.client.lease(self._abilities(), alias)
        if found := self._find(alias, terms):
            return found
        lease, leased_at = shortened(terms, self._lease_seconds), time.monotonic()
        if not lease.seconds:
            return []
        grabbed = self._grab(alias, grab, lease, leased_at)
        self._hold(alias, grabbed, terms, lease, leased_at)
        return grabbed

    def _find(self, alias: str, terms: Lease) -> list[Job]:
        """What was grabbed unheard of. A grab may yet commit that has not: it is looked for again.

        So does one that waits for a standby, as long as its lease would be.
        """
        now = time.monotonic()
        if not self._unanswered[alias] or now < self._look_at[alias]:
            return []
        self._look_at[alias] = now + LOOK_SECONDS
        for lease, leased_at in list(self._unanswered[alias]):
            if found := _found(alias, lease):
                self._hold(alias, found, terms, lease, leased_at)
                return found
        lives = self._unanswered[alias]
        self._unanswered[alias] = [x for x in lives if now < x[1] + self._lease_seconds]
        return []

    def _hold(
        self, alias: str, jobs: list[Job], terms: Lease, lease: Lease, leased_at: float
    ) -> None:
        self.holds.add_grabbed(jobs, lease, terms=terms, leased_at=leased_at)
        unanswered = self._unanswered[alias]
        self._unanswered[alias] = [entry for entry in unanswered if entry[0] is not lease]
        self._ledger.open_grab = 0

    def _grab(
        self, alias: str, grab: Callable[[Lease], list[Job]], lease: Lease, leased_at: float
    ) -> list[Job]:
        self._ledger.open_grab = lease.number
        self._unanswered[alias].append((lease, leased_at))
        return grab(lease)


def _found(alias: str, lease: Lease) -> list[Job]:
    """The jobs of a grab that the database made, though nobody was told; in order of places."""
    grabbed = Job.objects.using(alias).grabbed().filter(grabbed_by__in=lease.holders)
    return list(grabbed.order_by("run_after", "jobid"))
