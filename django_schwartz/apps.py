"""The app: finds the workers, and keeps the functions' rows."""

from django.apps import AppConfig
from django.core import checks
from django.db import connections, router
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class DjangoSchwartzConfig(AppConfig):
    name = "django_schwartz"
    verbose_name = "Job queue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_schwartz.checks import CHECKS, check_servers
        from django_schwartz.logs import bar_traceback, logger

        for check in CHECKS:
            checks.register(check)
        checks.register(check_servers, checks.Tags.database)
        post_migrate.connect(make_functions, sender=self)
        logger.addFilter(bar_traceback)
        autodiscover_modules("workers")
        if has_task_backend():
            from django_schwartz.backend.finding import find_tasks

            find_tasks()


def has_task_backend() -> bool:
    """Whether TASKS names this queue; Django's tasks, with their checks, are loaded if it may."""
    try:
        from django_schwartz.backend import schwartz_backends
    except ModuleNotFoundError as error:
        if error.name == "django_tasks":  # the backport, which Django 6.0 made needless
            return False
        raise
    return bool(schwartz_backends())


def make_functions(*, using: str, **_: object) -> None:
    """Give every registered worker its row, so that no dispatch has to make one."""
    from django_schwartz.models import FuncMap
    from django_schwartz.worker import registry

    FuncMap.objects.forget(using=using)
    # What was migrated may have been another app, or this one back to nothing.
    has_table = FuncMap._meta.db_table in connections[using].introspection.table_names()
    if has_table and router.allow_migrate_model(using, FuncMap):
        FuncMap.objects.get_or_make_all([worker.funcname for worker in registry], using=using)
