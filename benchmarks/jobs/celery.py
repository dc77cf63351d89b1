"""The job of Celery, and its app. No results are kept."""

import os

from celery import Celery

from benchmarks.ledger import mark

app = Celery("benchmarks", broker=os.environ["SCHWARTZ_BENCH_REDIS"])
app.conf.task_ignore_result = True
if os.environ["SCHWARTZ_BENCH_VARIANT"] == "best":
    app.conf.task_acks_late = True
    app.conf.worker_prefetch_multiplier = 64


@app.task(name="note")
def note(number: int) -> None:
    mark(number)
