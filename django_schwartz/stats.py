"""How the queue is: numbers only, each bounded however large the tables are."""

from django_schwartz.models import FuncMap, Job
from django_schwartz.worker import registry

#: Counting stops here: "1000" reads as "1000 or more".
COUNTED = 1000


def nobody_can_do(using: str) -> dict[str, int]:
    """The queued jobs, by function, that no worker registered here can perform."""
    registered = [worker.funcname for worker in registry]
    functions = FuncMap.objects.using(using).exclude(funcname__in=registered)[:COUNTED]
    queue = Job.objects.using(using)
    counts = {row.funcname: queue.of([row.funcid])[:COUNTED].count() for row in functions}
    return {funcname: count for funcname, count in counts.items() if count}
