"""The receiving side: one SMTP server that plays the mail servers of all domains.

A tag in the address says what becomes of its mail::

    ann+later@...    deferred (451), accepted at the second attempt
    ann+twice@...    deferred twice, accepted at the third attempt
    ann+never@...    deferred at every attempt
    ann+gone@...     rejected: no such user (550)
    ann+full@...     rejected: over quota (552)

A domain takes one connection at a time, and one whose name begins with "busy." turns away
every other one it could take (421). Nothing is kept of a mail but its count.
"""

import socket
from collections import Counter
from collections.abc import Callable

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
CONNECTIONS_PER_DOMAIN = 1
DEFERRALS = {"later": 1, "twice": 2, "never": float("inf")}
REJECTIONS = {
    "gone": "550 5.1.1 No such user",
    "full": "552 5.2.2 Mailbox is over its quota",
}
ACCEPTED = "250 OK"


class DomainsOfTheWorld:
    """What the servers of all domains answer, and how often (`counts`).

    aiosmtpd calls the handle_* methods, all in its one thread.
    """

    def __init__(self, report: Callable[[str], object] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.report = report or (lambda line: None)
        self.domains: dict[Session, str] = {}
        self.visits: Counter[str] = Counter()
        self.deferrals: Counter[str] = Counter()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.answer(session, address)
        if reply == ACCEPTED:
            envelope.rcpt_tos.append(address)
        else:
            self.report(f"{address}: {reply}")
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.counts["accepted"] += 1
        self.report(f"{', '.join(envelope.rcpt_tos)}: accepted")
        return ACCEPTED

    def answer(self, session: Session, address: str) -> str:
        """Return the reply to a recipient. The first of a session says which domain is called."""
        local_part, _, domain = address.lower().rpartition("@")
        tag = local_part.partition("+")[2]
        if session not in self.domains and not self.admits(session, domain):
            self.counts["turned away"] += 1
            return f"421 4.7.0 Too many connections to {domain}"
        if tag in REJECTIONS:
            self.counts["rejected"] += 1
            return REJECTIONS[tag]
        if self.deferrals[address] < DEFERRALS.get(tag, 0):
            self.deferrals[address] += 1
            self.counts["deferred"] += 1
            return "451 4.7.1 Greylisted, come back later"
        del self.deferrals[address]
        return ACCEPTED

    def admits(self, session: Session, domain: str) -> bool:
        if list(self.domains.values()).count(domain) >= CONNECTIONS_PER_DOMAIN:
            return False
        self.visits[domain] += 1
        if domain.startswith("busy.") and self.visits[domain] % 2:
            return False
        self.domains[session] = domain
        self.counts["connections"] += 1
        return True

    def hang_up(self, session: Session) -> None:
        self.domains.pop(session, None)


class Connection(SMTP):
    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.hang_up(self.session)
        super().connection_lost(error)


class Smtpd(Controller):
    """Serve on a loopback port, a free one unless given, in a thread, inside a `with` block."""

    def __init__(
        self, port: int | None = None, *, report: Callable[[str], object] | None = None
    ) -> None:
        self.world = DomainsOfTheWorld(report)
        super().__init__(
            self.world, hostname=HOST, port=port or free_port(), server_hostname="mx.example"
        )

    @property
    def address(self) -> str:
        return f"{self.hostname}:{self.port}"

    def factory(self) -> SMTP:
        return Connection(self.handler, **self.SMTP_kwargs)

    def __enter__(self) -> "Smtpd":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]
