"""The job of procrastinate, and its app for workers."""

import procrastinate

from benchmarks.ledger import mark

app = procrastinate.App(connector=procrastinate.PsycopgConnector())


@app.task(name="note")
async def note(number: int) -> None:
    mark(number)
