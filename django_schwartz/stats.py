"""How the queue is: numbers only, each bounded however large the tables are."""

from django.db.models import Case, Count, Exists, IntegerField, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from django_schwartz.models import FuncMap, Job, WorkerProcess
from django_schwartz.worker import registry

#: Counting stops here: "1000" reads as "1000 or more".
COUNTED = 1000


def functions_without_worker(using: str) -> list[FuncMap]:
    """The functions that no worker known or found here can perform."""
    return [row for row in _without_worker(using)[:COUNTED] if not registry.find(row.funcname)]


def _without_worker(using: str) -> QuerySet[FuncMap]:
    registered = [worker.funcname for worker in registry]
    return FuncMap.objects.using(using).exclude(funcname__in=registered)


def jobs_queued() -> Case:
    """For a query of functions: the number of jobs that each has in the queue."""
    jobs = Job.objects.filter(func_id=OuterRef("pk")).order_by()
    number = jobs.values("func_id").annotate(number=Count("pk")).values("number")
    return Case(
        # Told from the index entry at COUNTED; only a function that has none there is counted.
        When(Exists(jobs[COUNTED - 1 : COUNTED]), then=COUNTED),
        default=Coalesce(Subquery(number), 0),
        output_field=IntegerField(),
    )


def nobody_can_do(using: str) -> dict[str, int]:
    """The queued jobs, by function, that no worker known or found here can perform."""
    queued = _without_worker(using).annotate(queued=jobs_queued()).filter(queued__gt=0)
    counts = queued.values_list("funcname", "queued")[:COUNTED]
    return {name: count for name, count in counts if not registry.find(name)}


def who_works(using: str) -> list[WorkerProcess]:
    """The worker processes that live, as each told of itself last."""
    return list(WorkerProcess.objects.using(using).living().order_by("name")[:COUNTED])
