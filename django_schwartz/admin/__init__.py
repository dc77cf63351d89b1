"""The queue in Django's admin: pages that only read, and actions with their own permissions."""

from django_schwartz.admin.functions import FuncMapAdmin
from django_schwartz.admin.history import ErrorAdmin, ExitStatusAdmin
from django_schwartz.admin.jobs import JobAdmin
from django_schwartz.admin.processes import WorkerProcessAdmin

__all__ = ["ErrorAdmin", "ExitStatusAdmin", "FuncMapAdmin", "JobAdmin", "WorkerProcessAdmin"]
