"""Celery on Redis: another kind of storage, and another kind of promise.

Redis acknowledges what it has in memory, so this is what durability costs, not a race.
"""

from benchmarks.peers.peer import Peer


class Celery(Peer):
    """Default takes a job off the queue before it is performed; best, like all others, after it."""

    name = "celery"
    requirements = ("celery[redis]==5.7.0",)
    is_in_postgresql = False
    has_bulk = False

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        command = [self.bin("celery"), "--app=benchmarks.jobs.celery", "worker"]
        if variant == "default":
            return [[*command, f"--concurrency={processes}"]]
        solo = ["--pool=solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        return [[*command, *solo, f"--hostname=worker{n}@%h"] for n in range(processes)]

    def reset(self) -> None:
        """Nothing is made beforehand."""

    def enqueue(self, number: int) -> None:
        from benchmarks.jobs.celery import note

        note.delay(number)
