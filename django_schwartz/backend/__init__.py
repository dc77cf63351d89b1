"""django.tasks on the queue: the backend that TASKS names, and `task`, which takes its options.

Imports no model: backends are made and tasks decorated while the apps load.
"""

from django_schwartz.backend.backend import SchwartzBackend, schwartz_backends
from django_schwartz.backend.task import SchwartzTask, task
from django_schwartz.retrying import Exponential

__all__ = ["Exponential", "SchwartzBackend", "SchwartzTask", "schwartz_backends", "task"]
