"""The express way into the queue: for a job that is a function and an arg, and nothing more.

Between two answers of the database the processor's caches grow cold, and what Python then does
takes as long as it has code to go through. So what most dispatches do not need is asked for first,
and left out: where any of it may matter, the job goes the usual way.
"""

import time

from django.db import Error, connections

from django_schwartz.conf import conf
from django_schwartz.databases import Databases
from django_schwartz.dialects import dialect_of
from django_schwartz.models import FuncMap, Job, JobHandle
from django_schwartz.models.quick import is_watched
from django_schwartz.models.rows import checked_size
from django_schwartz.serializers import encode_arg
from django_schwartz.signals import job_dispatched
from django_schwartz.transactions import may_be_rolled_back
from django_schwartz.wakeup import announce_dispatch
from django_schwartz.worker import registry


def dispatch_plain(funcname: str, arg: object, databases: Databases) -> JobHandle | None:
    """Store the job in the only database, outside transactions; None if it has to go the usual way.

    Raises TypeError or ValueError for an arg that cannot be stored, and the database's errors but
    for those by which it cannot be had: by the usual way that is asked again, and found dead.
    """
    alias = databases.the_only
    if alias is None or job_dispatched.receivers or is_watched(Job):
        return None
    connection = connections[alias]
    dialect, is_open = dialect_of(connection), connection.connection is not None
    if not dialect.has_plain_insert or not is_open or may_be_rolled_back(connection):
        return None
    function, began = FuncMap.objects.recall(funcname, using=alias), time.monotonic()
    if function is None:
        return None
    encoded = encode_arg(arg, registry.get(funcname).arg_format)
    stored = checked_size(encoded, conf().max_arg_bytes)
    try:
        jobid, has_seen_idle = dialect.insert_plain(
            connection, Job._meta.db_table, function.funcid, stored
        )
    except Error as error:
        if dialect.is_unavailable(connection, error):
            return None
        raise
    announce_dispatch(connection, began=began, has_seen_idle=has_seen_idle)
    return JobHandle(alias, jobid)
