"""The rows of a torture: what is left of them in the databases, and their removal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django_schwartz.models import Error, ExitStatus, FuncMap, Job, JobQuerySet, WorkerProcess
from django_schwartz.torture.kinds import EFFECT
from django_schwartz.torture.recorder import PREFIX

#: The alias of a database, and the number of a job in it.
Place = tuple[str, int]


@dataclass(frozen=True)
class End:
    """How a job ended: the key of its arg, its function, its exit status."""

    key: str
    funcname: str
    status: int


@dataclass
class Rows:
    """The keys of jobs that are queued still, how others ended, and effects by key."""

    queued: dict[Place, str] = field(default_factory=dict)
    ends: dict[Place, End] = field(default_factory=dict)
    effects: Counter[str] = field(default_factory=Counter)


def queued(alias: str) -> JobQuerySet:
    """The jobs of a torture that are in the queue, whatever for."""
    return (
        Job.objects.using(alias)
        .filter(func__funcname__startswith=PREFIX)
        .exclude(func__funcname=EFFECT)
    )


def read(aliases: Iterable[str]) -> Rows:
    rows = Rows()
    for alias in aliases:
        rows.queued |= {(alias, job.jobid): str(job.arg["key"]) for job in queued(alias)}
        names = dict(_functions(alias).values_list("pk", "funcname"))
        for status in ExitStatus.objects.using(alias).filter(func__in=names):
            end = End(str(status.arg["key"]), names[status.func_id], status.status)
            rows.ends[alias, status.jobid] = end
        for effect in Job.objects.using(alias).filter(func__funcname=EFFECT):
            rows.effects[str(effect.arg["key"])] += 1
    return rows


def remove(aliases: Iterable[str], pids: Iterable[int] = ()) -> None:
    """Remove all rows of tortures, and those of the worker processes with these numbers."""
    for alias in aliases:
        funcids = list(_functions(alias).values_list("pk", flat=True))
        for model in (Job, ExitStatus, Error):
            model._default_manager.using(alias).filter(func__in=funcids).delete()
        FuncMap.objects.using(alias).filter(pk__in=funcids).delete()
        FuncMap.objects.forget(using=alias)
        WorkerProcess.objects.using(alias).filter(pid__in=list(pids)).delete()


def _functions(alias: str) -> Any:
    return FuncMap.objects.using(alias).filter(funcname__startswith=PREFIX)
