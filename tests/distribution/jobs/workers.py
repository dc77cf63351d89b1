"""Jobs that write to a database which may go away, and so are tried again."""

import socket
import time

from django_schwartz import Worker, register
from tests.app.models import Trace


@register
class Keep(Worker):
    """Leave a Trace of the arg."""

    keep_exit_status_for = 3600
    max_retries = 5

    def get_retry_delay(self, failures):
        return 1

    def work(self, job):
        Trace.objects.using(job.alias).create(jobid=job.jobid, what=str(job.arg))
        job.completed()


@register
class Hang(Worker):
    """Leave a Trace of the host; the first time take so many seconds."""

    keep_exit_status_for = 3600
    max_retries = 5

    def work(self, job):
        Trace.objects.using(job.alias).create(jobid=job.jobid, what=socket.gethostname())
        time.sleep(0 if job.failures else job.arg)
        job.completed()
