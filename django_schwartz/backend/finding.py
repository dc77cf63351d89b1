"""Which function is which task: known at decoration, or found by its path in an installed app."""

import logging
import sys
from importlib import import_module
from pkgutil import get_importer
from typing import Any

from django.apps import AppConfig, apps
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

    No module is imported for that but one of the app's `tasks`; what is found is not called.
    """
    path, _, name = funcname.rpartition(".")
    try:
        found: Any = vars(import_module(path)).get(name) if _may_import(path) else None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module is user code
        logger.warning("cannot import %s: %r", printable(funcname), error)
        return None
    # isinstance() would have a lazy object made.
    if issubclass(type(found), Task) and found.module_path == funcname:
        return worker_of(found)
    return None


def _may_import(path: str) -> bool:
    """Whether it is in an installed app, and is imported already or one of the app's `tasks`."""
    apps_above = [each for each in apps.get_app_configs() if f"{path}.".startswith(f"{each.name}.")]
    if path in sys.modules:
        return bool(apps_above)
    return any(_has_tasks(app, path.removeprefix(app.name).split(".")[1:]) for app in apps_above)


def _has_tasks(app: AppConfig, below: list[str]) -> bool:
    """Whether the app has that module, which is named `tasks` or lies in what is.

    Imports nothing: to import a module is to import all above it, whether it exists or not.
    """
    if "tasks" not in below:
        return False
    name, folders = app.name, getattr(app.module, "__path__", [])
    for part in below:
        name = f"{name}.{part}"
        finders = filter(None, map(get_importer, folders))
        specs = list(filter(None, (finder.find_spec(name) for finder in finders)))
        if not specs:
            return False
        folders = [folder for spec in specs for folder in spec.submodule_search_locations or ()]
    return True


def find_tasks() -> None:
    """Have tasks found by name from now on, and import the apps' modules `tasks`."""
    if find_worker not in registry.finders:
        registry.finders.append(find_worker)
    autodiscover_modules("tasks")
