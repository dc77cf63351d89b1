"""Dispatching: which database takes the jobs that a client is given, and how they get there."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_schwartz.batches import Batches
from django_schwartz.databases import Databases, checked_aliases, was_cut
from django_schwartz.dialects import dialect_of
from django_schwartz.models import Job, JobHandle, JobQuerySet
from django_schwartz.serializers import checked_name
from django_schwartz.transactions import may_be_rolled_back

#: Stores the jobs in the database of an alias.
Store = Callable[[str], list[JobHandle]]


def dispatch(
    batches: Batches[Job],
    databases: Databases,
    *,
    using: str | None,
    on_progress: Callable[[int], object] | None = None,
) -> list[JobHandle]:
    """Store the jobs in one of the databases: see TheSchwartz.dispatch_jobs()."""
    _check_jobs(batches.known)
    chosen = checked_aliases([using])[0] if using else databases.in_transaction()
    store = partial(_store, batches, on_progress=on_progress)
    if chosen is not None:
        return _ask_chosen(chosen, batches, store)
    for alias in _order_for(batches.first, databases):
        handles = _ask(alias, batches, store, databases)
        if handles is not None:
            return handles
    raise databases.all_dead()


def _ask_chosen(alias: str, batches: Batches[Job], store: Store) -> list[JobHandle]:
    """Store the jobs. Where no transaction is open, a cut connection is replaced once."""
    connection = connections[alias]
    if may_be_rolled_back(connection):
        return store(alias)
    driver = connection.connection
    try:
        return store(alias)
    except Error as error:
        if batches.is_spent or not _is_cut(connection, driver, error):
            raise
    connection.close()
    return store(alias)


def _is_cut(connection: BaseDatabaseWrapper, driver: object, error: Error) -> bool:
    is_unavailable = dialect_of(connection).is_unavailable(connection, error)
    return is_unavailable and was_cut(connection, driver, error)


def _ask(
    alias: str, batches: Batches[Job], store: Store, databases: Databases
) -> list[JobHandle] | None:
    """Store the jobs, or return None where the database is dead.

    A cut connection is replaced once: a uniqkey is to stay in its home. Raises the database's error
    when the jobs cannot be had again.
    """
    for _ in range(2):
        with databases.failing_over(alias) as asked:
            return store(alias)
        if batches.is_spent:
            raise databases.causes[alias]
        if not asked.was_cut:
            break
    return None


def _order_for(jobs: list[Job], databases: Databases) -> Iterator[str]:
    """The databases to ask, one after the other. Raises ValueError where homes part."""
    orders = {
        tuple(databases.in_home_order(*_key_of(job))) for job in jobs if job.uniqkey is not None
    }
    if not orders:
        yield from databases.in_random_order()
    for homes in zip(*orders, strict=False):
        if len(set(homes)) > 1:
            raise ValueError(
                "The uniqkeys of these jobs have their homes in different databases, where "
                "they would not be found: name one database for all by using=, here and "
                "wherever these keys are dispatched, or dispatch each job by itself."
            )
        yield homes[0]


def _key_of(job: Job) -> tuple[str, str]:
    names = checked_name("funcname", job.funcname), checked_name("uniqkey", job.uniqkey)
    return names[0] or "", names[1] or ""


def _check_jobs(jobs: Sequence[object]) -> None:
    if len(set(map(id, jobs))) < len(jobs):
        raise ValueError("dispatch_jobs takes different Jobs: one of these is there twice.")
    for job in jobs:
        if not isinstance(job, Job):
            raise TypeError(
                "dispatch_jobs takes Jobs, as Job(funcname=..., arg=...), not"
                f" {type(job).__name__}."
            )


def made_job(job: Job | str, arg: object, fields: dict[str, Any]) -> Job:
    """The Job that is given, or made of a funcname and its arg. Raises TypeError."""
    if isinstance(job, str):
        return Job(funcname=job, arg=arg, **fields)  # type: ignore[misc] # a property
    if not isinstance(job, Job):
        raise TypeError(f"dispatch_async takes a Job or a funcname, not {type(job).__name__}.")
    if arg is not None or fields:
        raise TypeError(
            "dispatch_async takes one Job, or a funcname and its arg. For many: dispatch_jobs."
        )
    return job


def after_commit(dispatch: Callable[[], object]) -> None:
    """Dispatch when the open transaction, if there is one, has committed."""
    open_one = next((a for a in connections if connections[a].in_atomic_block), None)
    if open_one is None:
        dispatch()
    else:
        transaction.on_commit(dispatch, using=open_one)


def _store(
    batches: Batches[Job], alias: str, on_progress: Callable[[int], object] | None
) -> list[JobHandle]:
    if len(batches.first) == 1:
        return _store_each(batches, alias, on_progress)
    store = partial(_store_together, batches, alias, on_progress)
    again = dialect_of(connections[alias]).again
    return again(alias, store, is_spent=lambda: batches.is_spent)


def _store_together(
    batches: Batches[Job], alias: str, on_progress: Callable[[int], object] | None
) -> list[JobHandle]:
    with transaction.atomic(using=alias):
        return _store_each(batches, alias, on_progress)


def _store_each(
    batches: Batches[Job], alias: str, on_progress: Callable[[int], object] | None
) -> list[JobHandle]:
    queue = _queue_of(alias)
    handles: list[JobHandle] = []
    for batch in batches:
        if batches.is_spent:  # the others were, before a database was chosen
            _check_jobs(batch)
        handles += queue.dispatch(batch)
        if on_progress:
            on_progress(len(handles))
    return handles


@cache
def _queue_of(alias: str) -> JobQuerySet:
    """A queryset that is never evaluated, and so is made but once."""
    return JobQuerySet(Job, using=alias)
