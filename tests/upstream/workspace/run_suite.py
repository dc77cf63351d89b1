"""Run the tests that were fetched into this folder, with the queue in the backends' places."""

import importlib
import inspect
import logging
import os
import sys
import unittest

import django
from django.db import connection
from django.test import SimpleTestCase
from django.test.runner import DiscoverRunner
from exclusions import EXCLUDED, EXCLUDED_OF_BACKPORT

HAS_TASKS = django.VERSION >= (6, 0)
TASKS = "django.tasks" if HAS_TASKS else "django_tasks"
MODULES = ("base", "checks", "exceptions", "signals", "backends", "backends.base")
BACKENDS = {"dummy": "AsDummy", "immediate": "AsImmediate"}


def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    if not HAS_TASKS:
        take_the_backport()
    stand_in()
    SimpleTestCase.databases = {"default"}
    logging.getLogger("django_schwartz").addHandler(logging.NullHandler())
    return DiscoverOurs(verbosity=1, interactive=False).run_tests(["tasks", "tests.tests"])


def take_the_backport():
    """Have Django's tests find the backport where they look for Django's tasks."""
    import django_tasks

    sys.modules["django.tasks"] = django.tasks = django_tasks
    for name in [*MODULES, *(f"backends.{kind}" for kind in BACKENDS)]:
        sys.modules[f"django.tasks.{name}"] = importlib.import_module(f"django_tasks.{name}")
    exceptions = django_tasks.exceptions
    for name in ("InvalidTask", "InvalidTaskBackend"):
        if not hasattr(exceptions, name):
            setattr(exceptions, name, getattr(exceptions, f"{name}Error"))
    django_tasks.signals.logger = logging.getLogger("django.tasks")


def stand_in():
    """Put the queue in the places of the backends."""
    import django_tasks_db
    from standins import backends

    for kind, name in BACKENDS.items():
        module = importlib.import_module(f"{TASKS}.backends.{kind}")
        setattr(module, f"{kind.title()}Backend", getattr(backends, name))
    django_tasks_db.DatabaseBackend = backends.AsDatabase


class DiscoverOurs(DiscoverRunner):
    def build_suite(self, *args, **kwargs):
        tests = list(super().build_suite(*args, **kwargs))
        chosen = [test for test in tests if self.is_about_the_backend(test)]
        self.log(f"{len(chosen)} of {len(tests)} tests are about the backend:")
        return self.test_suite(chosen)

    def teardown_databases(self, *args, **kwargs):
        if connection.vendor == "postgresql":  # the threads of coroutines left their connections
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        super().teardown_databases(*args, **kwargs)

    def is_about_the_backend(self, test):
        reason = reason_against(test)
        if reason:
            self.log(f"without {name_of(test)}: {reason}")
        return reason is None


def name_of(test):
    return f"{type(test).__name__}.{test._testMethodName}"


def reason_against(test):
    excluded = EXCLUDED if HAS_TASKS else {**EXCLUDED, **EXCLUDED_OF_BACKPORT}
    reason = excluded.get(type(test).__name__) or excluded.get(name_of(test))
    if reason or isinstance(test, unittest.loader._FailedTest):
        return reason
    source = inspect.getsource(getattr(type(test), test._testMethodName))
    reads_tables = "DBTaskResult" in source or "get_task_count" in source
    return "it reads django-tasks-db's own tables" if reads_tables else None


if __name__ == "__main__":
    sys.exit(bool(main()))
