"""What the workers of the tests leave behind, so that it can be counted."""

from django.db import models


class Trace(models.Model):
    """One effect of one performance of a job."""

    jobid = models.BigIntegerField()
    what = models.CharField(max_length=200)

    def __str__(self):
        return f"{self.jobid}: {self.what}"
