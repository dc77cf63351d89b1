"""Every verdict that a worker can give, as a function of the job."""

from django_schwartz.models import Job

VERDICTS = {
    "completed": lambda job: job.completed(),
    "failed": lambda job: job.failed("why"),
    "failed for good": lambda job: job.permanent_failure("why"),
    "declined": lambda job: job.declined(1_900_000_000),
    "replaced": lambda job: job.replace_with(Job(funcname="Task")),
    "given back": lambda job: job.give_back(),
}
