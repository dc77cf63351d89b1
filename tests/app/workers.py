"""Workers that child processes of the tests perform jobs with."""

import os
import time
from pathlib import Path

from django_schwartz import Worker, register
from tests.app.models import Trace


@register
class Note(Worker):
    """Leave a Trace of the arg."""

    keep_exit_status_for = 3600

    def work(self, job):
        Trace.objects.create(jobid=job.jobid, what=str(job.arg))
        job.completed()


@register
class Slow(Worker):
    """Make a file of the name in arg["begun"], then sleep for arg["seconds"] and leave a Trace."""

    keep_exit_status_for = 3600

    def work(self, job):
        Path(job.arg["begun"]).touch()
        time.sleep(job.arg["seconds"])
        Trace.objects.create(jobid=job.jobid, what="slept")
        job.completed()


@register
class Crash(Worker):
    """End the process as arg says: a signal's number, or "exit"."""

    def work(self, job):
        if job.arg == "exit":
            os._exit(3)
        os.kill(os.getpid(), job.arg)


@register
class Raise(Worker):
    """Fail with the arg as the message; never to be retried."""

    keep_exit_status_for = 3600

    def work(self, job):
        raise RuntimeError(job.arg)
