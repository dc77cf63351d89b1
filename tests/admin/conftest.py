"""Users of the admin, and rows for its pages to show."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_schwartz.dialects import ServerTime
from django_schwartz.models import Error, ExitStatus, FuncMap

VIEWS = ("view_job", "view_exitstatus", "view_error", "view_funcmap", "view_workerprocess")


def list_of(model):
    return reverse(f"admin:django_schwartz_{model._meta.model_name}_changelist")


def page_of(model, pk):
    return reverse(f"admin:django_schwartz_{model._meta.model_name}_change", args=[pk])


def handles(response):
    """The jobids of the rows of a list."""
    return [row.jobid for row in response.context["cl"].result_list]


def told(response):
    """What the user is told on top of the page."""
    return [str(message) for message in response.context["messages"]]


@pytest.fixture
def browser(database):
    """The browser of a superuser."""
    return browser_of(User.objects.create_superuser("alice"))


@pytest.fixture
def staff(database):
    """Make the browser of a member of staff with these permissions, and no others."""

    def make(*codenames):
        user = User.objects.create_user(f"staff {'+'.join(codenames)}", is_staff=True)
        found = Permission.objects.filter(
            codename__in=codenames, content_type__app_label="django_schwartz"
        )
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        return browser_of(user)

    return make


def browser_of(user, **options):
    browser = Client(**options)
    browser.force_login(user)
    return browser


@pytest.fixture
def exit_status(database):
    """Make the exit status of a job that failed, unless it is said to have gone otherwise."""

    def make(jobid=7, *, funcname="Note", **fields):
        function = FuncMap.objects.get_or_make(funcname, using=database)
        known = {"status": 1, "run_after": ServerTime(), "completion_time": ServerTime()}
        return ExitStatus.objects.create(jobid=jobid, func_id=function.pk, **{**known, **fields})

    return make


@pytest.fixture
def error(database):
    """Make an error of a job."""

    def make(message="It failed.", *, jobid=7, funcname="Note", **fields):
        function = FuncMap.objects.get_or_make(funcname, using=database)
        known = {"error_time": ServerTime()}
        return Error.objects.create(
            jobid=jobid, func_id=function.pk, message=message, **{**known, **fields}
        )

    return make
