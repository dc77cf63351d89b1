"""Which function is which task: known at decoration, or found by its path in an installed app."""

import logging
from importlib import import_module

from django.apps import apps
from django.utils.module_loading import autodiscover_modules

from django_schwartz.backend.compat import AnyTask, Task
from django_schwartz.backend.worker import TaskWorker, worker_of
from django_schwartz.signals import printable
from django_schwartz.worker import Worker, registry

logger = logging.getLogger("django_schwartz")


def make_known(task: AnyTask) -> None:
    """Register the worker of a task's function; the first task made of a function stays."""
    known = registry.get(task.module_path)
    if not issubclass(known, TaskWorker):
        registry.register(worker_of(task))
    elif known.task.func is not task.func:  # its module was loaded anew
        registry.unregister(known)
        registry.register(worker_of(task))


def task_named(funcname: str) -> AnyTask | None:
    """The task of that name, as it was decorated; None when it is no task here."""
    worker = registry.find(funcname)
    return worker.task if worker and issubclass(worker, TaskWorker) else None


def find_worker(funcname: str) -> type[Worker] | None:
    """The worker of a task that is found where its name says, in an installed app.

    Nothing else is imported, and what is found is not called.
    """
    path, _, name = funcname.rpartition(".")
    if not _is_installed(path):
        return None
    try:
        found: object = getattr(import_module(path), name, None)
    except Exception as error:  # noqa: BLE001 - the module is user code
        logger.warning("cannot import %s: %r", printable(funcname), error)
        return None
    if isinstance(found, Task) and found.module_path == funcname:
        return worker_of(found)
    return None


def _is_installed(path: str) -> bool:
    names = (config.name for config in apps.get_app_configs())
    return any(path == name or path.startswith(f"{name}.") for name in names)


def find_tasks() -> None:
    """Have tasks found by name from now on, and import the apps' modules `tasks`."""
    if find_worker not in registry.finders:
        registry.finders.append(find_worker)
    autodiscover_modules("tasks")
