"""What a run came to, by three accounts: the site's tables, the queue's, the mail server's."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailinglist.models import Delivery, Mailing, Subscriber

from django_schwartz.models import ExitStatus, Job

FUNCNAMES = ["Welcome", "Broadcast", "Deliver"]


def jobs_left() -> int:
    return Job.objects.filter(func__funcname__in=FUNCNAMES).count()


def jobs_finished(since: float) -> int:
    """Count the jobs that have left the queue since then, a UNIX time."""
    finished = ExitStatus.objects.filter(func__funcname__in=FUNCNAMES)
    return finished.filter(completion_time__gte=int(since)).count()


def mails_recorded() -> int:
    """Count the mails that the site knows to be accepted: all mailings, and the welcomes."""
    delivered = Delivery.objects.filter(state=Delivery.State.DELIVERED).count()
    return delivered + Subscriber.objects.filter(welcomed__isnull=False).count()


def exit_statuses(mailing: Mailing) -> Counter[int]:
    """Count the exit statuses of the mailing's Deliver jobs."""
    finished = ExitStatus.objects.filter(
        func__funcname="Deliver", uniqkey__startswith=f"{mailing.pk}-"
    )
    return Counter(finished.values_list("status", flat=True))


@dataclass(frozen=True)
class Start:
    """How things stood when a run began."""

    unix_time: float = field(default_factory=time.time)
    mails_recorded: int = field(default_factory=mails_recorded)


@dataclass(frozen=True, kw_only=True)
class Summary:
    recipients: int
    at_first_try: int
    after_retry: int
    rejected: int
    exit_statuses: Counter[int]
    jobs_left: int
    jobs_finished: int
    mails_recorded: int
    #: What the mail server has counted: mails accepted, connections, deferrals ...
    server: Counter[str]
    seconds: float

    @classmethod
    def of(cls, mailing: Mailing, *, since: Start, server: Counter[str]) -> "Summary":
        delivered = mailing.deliveries.filter(state=Delivery.State.DELIVERED)
        return cls(
            recipients=mailing.deliveries.count(),
            at_first_try=delivered.filter(attempts=1).count(),
            after_retry=delivered.filter(attempts__gt=1).count(),
            rejected=mailing.deliveries.filter(state=Delivery.State.REJECTED).count(),
            exit_statuses=exit_statuses(mailing),
            jobs_left=jobs_left(),
            jobs_finished=jobs_finished(since.unix_time),
            mails_recorded=mails_recorded() - since.mails_recorded,
            server=server,
            seconds=time.time() - since.unix_time,
        )

    @property
    def delivered(self) -> int:
        return self.at_first_try + self.after_retry

    @property
    def failures(self) -> dict[int, int]:
        """Jobs by exit status, without those of status 0."""
        return {code: count for code, count in sorted(self.exit_statuses.items()) if code}

    def lines(self) -> Iterator[tuple[str, str]]:
        by_status = ", ".join(f"{count} x {code}" for code, count in self.failures.items())
        rate = self.jobs_finished / self.seconds
        yield "Recipients", f"{self.recipients:,}"
        yield "  at first try", f"{self.at_first_try:,} delivered"
        yield "  after a retry", f"{self.after_retry:,} delivered"
        yield "  rejected", f"{self.rejected:,}, by exit status: {by_status}"
        yield "Failures", f"{self.server['deferred']:,} replies of “not now”, each a failed job"
        yield "Declined", f"{self.server['turned away']:,} times, the domain was busy"
        yield (
            "Connections",
            f"{self.server['connections']:,} for {self.server['accepted']:,} mails accepted",
        )
        yield "Time", f"{self.seconds:.1f} s, {rate:,.0f} jobs a second"

    def contradictions(self) -> list[str]:
        """Say what does not add up."""
        claims = {
            f"{self.delivered} delivered and {self.rejected} rejected make "
            f"{self.recipients} recipients": self.delivered + self.rejected == self.recipients,
            f"{self.delivered} mails were delivered by {self.exit_statuses[0]} jobs of exit "
            "status 0": self.delivered == self.exit_statuses[0],
            f"{self.rejected} mails were rejected in {sum(self.failures.values())} jobs of "
            "another exit status": self.rejected == sum(self.failures.values()),
            f"{self.mails_recorded} mails are recorded, {self.server['accepted']} the server "
            "has accepted": self.mails_recorded == self.server["accepted"],
            f"{self.jobs_left} jobs are left in the queue": self.jobs_left == 0,
        }
        return [claim for claim, holds in claims.items() if not holds]
