"""procrastinate."""

from collections.abc import Sequence

from benchmarks.peers.peer import PSYCOPG, Peer


class Procrastinate(Peer):
    name = "procrastinate"
    requirements = ("procrastinate==3.10.0", PSYCOPG)
    left_sql = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        app = [self.bin("procrastinate"), "--app=benchmarks.jobs.procrastinate.app"]
        best = ["--log-level=warning", "worker", "--concurrency=20", "--delete-jobs=always"]
        return [[*app, *(best if variant == "best" else ["worker"])]] * processes

    def open(self) -> None:
        import procrastinate

        self.app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
        self.app.open()

    def reset(self) -> None:
        self.app.schema_manager.apply_schema()

    def enqueue(self, number: int) -> None:
        self.app.configure_task("note").defer(number=number)

    def bulk(self, numbers: Sequence[int], *, delay: int = 0, urgent: bool = False) -> None:
        options = {"schedule_in": {"seconds": delay}} if delay else {}
        task = self.app.configure_task("note", priority=9 if urgent else 0, **options)
        task.batch_defer(*({"number": number} for number in numbers))
