"""What is kept of the past, and for how long."""

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from django_schwartz.dialects import ServerTime, dialect_of
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from django_schwartz.worker import Worker, registry

#: Rows deleted by one statement.
BATCH = 1000


def purge(using: str) -> int:
    """Delete a batch of expired exit statuses and one of old errors; give the number of rows.

    A job that is queued keeps all of its errors: they count its failures.
    """
    expired = ExitStatus.objects.using(using).filter(
        delete_after__lt=ServerTime(), delete_after__gt=0
    )
    return _delete_batch(expired) + _delete_batch(_old_errors(using))


def _old_errors(using: str) -> "QuerySet[Error]":
    names = [worker.funcname for worker in registry]
    rows = FuncMap.objects.find(names, using=using).values()
    kept_for = {row.funcid: int(registry[row.funcname].policy("keep_errors_for")) for row in rows}
    old = Q(error_time__lt=ServerTime() - Worker.keep_errors_for) & ~Q(func_id__in=list(kept_for))
    for funcid, seconds in kept_for.items():
        old |= Q(func_id=funcid, error_time__lt=ServerTime() - seconds)
    queued = Job.objects.filter(pk=OuterRef("jobid"))
    return Error.objects.using(using).filter(old).exclude(Exists(queued))


def _delete_batch(rows: "QuerySet[Any]") -> int:
    # Two statements: MySQL has no LIMIT in a subquery, PostgreSQL none in a DELETE.
    keys: Sequence[int] = list(rows.values_list("pk", flat=True)[:BATCH])
    model: type[Model] = rows.model
    doomed = model._default_manager.using(rows.db).filter(pk__in=keys)
    if not keys:
        return 0
    return dialect_of(connections[rows.db]).again(rows.db, lambda: doomed.delete()[0])
