"""What is wrong with TASKS is told by `manage.py check`, before a task finds out."""

import django
import pytest
from django.core.checks import run_checks

from django_schwartz.backend import task
from django_schwartz.checks import check_backport, check_workers
from django_schwartz.worker import registry
from tests.app import tasks

OURS = "django_schwartz.backend.SchwartzBackend"


def judged(settings, **options):
    """The ids of what is wrong with such options, as Django's own check tells them."""
    settings.TASKS = {"default": {"BACKEND": OURS, "OPTIONS": options}}
    return [message.id for message in run_checks(databases=[]) if "TASKS" in message.msg]


def test_the_checks_of_djangos_tasks_are_registered(settings, database):
    assert judged(settings, nonsense=1) == ["django_schwartz.E021"]


def test_good_options_are_not_complained_about(settings, database):
    assert judged(settings) == []
    assert judged(settings, keep_results_for=0, database=None) == []


def test_an_unknown_option_gets_a_hint(settings, database):
    settings.TASKS = {"default": {"BACKEND": OURS, "OPTIONS": {"keep_result_for": 1}}}

    [message] = [
        message for message in run_checks(databases=[]) if message.id == "django_schwartz.E021"
    ]

    assert message.hint == "Did you mean 'keep_results_for'?"


@pytest.mark.parametrize("seconds", ["7 days", True, -1, float("nan"), float("inf"), [1]])
def test_a_duration_must_be_a_number_of_seconds(settings, database, seconds):
    assert judged(settings, keep_results_for=seconds) == ["django_schwartz.E022"]


def test_an_unknown_database_is_an_error(settings, database):
    assert judged(settings, database="nowhere") == ["django_schwartz.E023"]


def test_a_database_beside_the_default_one_is_warned_of(settings, database):
    settings.SCHWARTZ = {"DATABASES": ["default", database]}

    assert judged(settings, database=database) == ["django_schwartz.W020"]


def test_the_app_must_be_installed(settings, database):
    installed = [app for app in settings.INSTALLED_APPS if app != "django_schwartz"]
    backend = tasks.add.get_backend()

    settings.INSTALLED_APPS = installed

    assert [message.id for message in backend.check()] == ["django_schwartz.E020"]


def test_what_is_wrong_with_a_task_names_its_function(monkeypatch):
    registry.unregister(registry[tasks.add.module_path])
    task(max_retries=-1)(tasks.add.func)

    [message] = check_workers()

    assert message.msg.startswith("tests.app.tasks.add has max_retries = -1")


def test_the_backport_must_be_installed_where_django_has_no_tasks(settings, monkeypatch):
    monkeypatch.setattr(django, "VERSION", (5, 2))
    others = [app for app in settings.INSTALLED_APPS if app != "django_tasks"]

    settings.INSTALLED_APPS = others

    assert [message.id for message in check_backport()] == ["django_schwartz.E024"]


def test_the_backport_is_not_asked_for_by_another_backend(settings, monkeypatch):
    monkeypatch.setattr(django, "VERSION", (5, 2))

    settings.TASKS = {"default": {"BACKEND": "elsewhere.Backend"}, "odd": None}

    assert check_backport() == []


def test_the_backport_is_not_asked_for_where_it_is_installed_or_not_needed(settings):
    assert check_backport() == []
