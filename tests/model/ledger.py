"""What must be true of one job, kept apart from the queue: who may do what, and what then is so."""

from dataclasses import dataclass, replace

GRAB_FOR = 60
RETRY_DELAY = 100
DECLINED_FOR = 30


@dataclass(frozen=True)
class Ledger:
    """One job. Moments are UNIX seconds; `holder` is the number of the grab that counts.

    `can_lapse` is whether the end of its lease is a crash: of a holder who has not declined it.
    `has_lapsed` is whether the lease before the holder's ended so.
    """

    run_after: int
    grabbed_until: int = 0
    grabs: int = 0
    failures: int = 0
    exit_status: int | None = None
    is_queued: bool = True
    holder: int | None = None
    can_lapse: bool = False
    has_lapsed: bool = False

    def is_due(self, now):
        return self.is_queued and self.grabbed_until <= now and self.run_after <= now

    def grabbed(self, now):
        grabs = self.grabs + 1
        held = replace(self, grabs=grabs, holder=grabs, grabbed_until=now + GRAB_FOR)
        return replace(held, can_lapse=True, has_lapsed=self.can_lapse)

    def released(self, **changes):
        return replace(self, holder=None, grabbed_until=0, can_lapse=False, **changes)

    def declined_for_the_lease(self):
        return replace(self, can_lapse=False)

    def having_failed(self):
        return replace(self, failures=self.failures + 1)

    def ended(self, exit_status, **changes):
        return replace(self, is_queued=False, holder=None, exit_status=exit_status, **changes)


#: What the job is after a verdict of its holder.
VERDICTS = {
    "completes": lambda job, now: job.ended(0),
    "fails": lambda job, now: job.released(failures=job.failures + 1, run_after=now + RETRY_DELAY),
    "gives up": lambda job, now: job.ended(1, failures=job.failures + 1),
    "declines": lambda job, now: job.released(run_after=now + DECLINED_FOR),
    "gives back": lambda job, now: job.released(),
}
