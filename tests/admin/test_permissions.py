"""Who may do what in the admin: each page and each action, for each kind of user."""

import itertools

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from django_schwartz.models import Error, ExitStatus, FuncMap, Job, WorkerProcess
from tests.admin.conftest import VIEWS, browser_of, list_of, page_of
from tests.rows import rows

MODELS = [Job, ExitStatus, Error, FuncMap, WorkerProcess]

#: Each kind of user, and what it may view and do.
USERS = {
    "anonymous": None,
    "staff": (),
    "viewer": VIEWS,
    "change alone": (
        "change_job",
        "change_exitstatus",
        "change_error",
        "change_funcmap",
        "change_workerprocess",
    ),
    "runner": (*VIEWS, "run_job"),
    "canceller": (*VIEWS, "cancel_job"),
    "dispatcher": (*VIEWS, "dispatch_again"),
    "actions alone": ("run_job", "cancel_job", "dispatch_again", "view_job_args"),
    "superuser": "all",
}
VIEWERS = {"viewer", "change alone", "runner", "canceller", "dispatcher", "superuser"}
DOERS = {
    "run_now": {"runner", "superuser"},
    "cancel": {"canceller", "superuser"},
    "dispatch_again": {"dispatcher", "superuser"},
}


@pytest.fixture(params=USERS)
def who(request):
    return request.param


@pytest.fixture
def visitor(who, staff):
    """The browser of that kind of user."""
    permissions = USERS[who]
    if permissions is None:
        return Client()
    if permissions == "all":
        return browser_of(User.objects.create_superuser("root"))
    return staff(*permissions)


@pytest.fixture
def one_of_each(client, error, exit_status):
    """A row of each model: the delayed job is named, the others lead to their pages."""
    handle = client.dispatch_async("Note", {"password": "canary"}, run_after=2**31)
    failed = exit_status(handle.jobid + 1, arg=b'"canary"', result="canary", meta="canary")
    return {
        Job: handle.jobid,
        ExitStatus: failed.jobid,
        Error: error().pk,
        FuncMap: handle.job.funcid,
        WorkerProcess: WorkerProcess.objects.create(name="web-1:7:ab", host="web-1", pid=7).pk,
    }


def addresses(one_of_each):
    for model, pk in one_of_each.items():
        yield list_of(model)
        yield page_of(model, pk)
        yield reverse(f"admin:django_schwartz_{model._meta.model_name}_history", args=[pk])


def test_only_those_who_may_view_see_anything(visitor, who, one_of_each):
    expected = 200 if who in VIEWERS else 302 if who == "anonymous" else 403

    codes = {url: visitor.get(url).status_code for url in addresses(one_of_each)}

    assert codes == dict.fromkeys(codes, expected)


def test_a_visitor_without_permission_is_told_nothing_of_what_exists(staff, one_of_each):
    visitor = staff()

    for model in MODELS:
        there = visitor.get(page_of(model, one_of_each[model]))
        gone = visitor.get(page_of(model, 4711))
        assert there.status_code == gone.status_code == 403


def test_nobody_adds_changes_or_deletes(visitor, who, one_of_each):
    before = rows()
    refused = 302 if who == "anonymous" else 403

    for model, pk in one_of_each.items():
        add = list_of(model) + "add/"
        delete = page_of(model, pk).replace("change/", "delete/")
        for url in (add, delete, page_of(model, pk)):
            answer = visitor.post(url, {"post": "yes", "uniqkey": "changed", "message": "changed"})
            assert answer.status_code == refused
        for url in (add, delete):
            assert visitor.get(url).status_code == refused

    assert rows() == before


def test_nobody_deletes_by_the_action_that_django_brings(visitor, one_of_each):
    before = rows(), FuncMap.objects.count()

    for model, pk in one_of_each.items():
        data = {"action": "delete_selected", "_selected_action": pk, "post": "yes"}
        visitor.post(list_of(model), data)

    assert (rows(), FuncMap.objects.count()) == before


def test_an_action_is_offered_and_done_to_those_alone_who_have_its_permission(
    visitor, who, one_of_each
):
    for action, doers in DOERS.items():
        model = ExitStatus if action == "dispatch_again" else Job
        row = {"action": action, "_selected_action": one_of_each[model]}
        in_list = visitor.get(list_of(model)).content.decode()
        on_page = visitor.get(page_of(model, one_of_each[model])).content.decode()
        before = rows()
        question = visitor.post(list_of(model), row)
        visitor.post(list_of(model), {**row, "confirmed": "yes"})

        assert (f'<option value="{action}">' in in_list) == (who in doers)
        assert (f'name="action" value="{action}"' in on_page) == (who in doers)
        assert (b"Cancel 1 job" in question.content) == (who in doers and action == "cancel")
        assert (rows() != before) == (who in doers)


@pytest.mark.parametrize(
    ("permissions", "is_shown"), [((), False), (("view_job_args",), True)], ids=["without", "with"]
)
def test_args_and_results_are_shown_to_those_alone_who_may_view_them(
    staff, one_of_each, permissions, is_shown
):
    visitor = staff(*VIEWS, *permissions)

    pages = {url: visitor.get(url).content.decode() for url in addresses(one_of_each)}

    with_secret = {url for url, content in pages.items() if "canary" in content}
    may_have_it = {page_of(model, one_of_each[model]) for model in (Job, ExitStatus)}
    assert with_secret == (may_have_it if is_shown else set())


@pytest.mark.parametrize(
    "lookup",
    [
        "arg__startswith",
        "arg__contains",
        "result__x",
        "message__regex",
        "func__funcname",
        "uniqkey",
    ],
)
def test_nobody_can_guess_at_a_column_by_filtering(browser, one_of_each, lookup):
    for model in MODELS:
        assert browser.get(list_of(model), {lookup: "x"}).status_code == 400


def test_nothing_changes_without_the_token_of_the_form(database, one_of_each):
    browser = browser_of(User.objects.create_superuser("root"), enforce_csrf_checks=True)
    before = rows()

    for action, model in (("run_now", Job), ("cancel", Job), ("dispatch_again", ExitStatus)):
        row = {"action": action, "_selected_action": one_of_each[model], "confirmed": "yes"}
        assert browser.post(list_of(model), row).status_code == 403

    assert rows() == before


def test_looking_changes_nothing(browser, one_of_each):
    before = rows()
    asked = {"_selected_action": one_of_each[Job], "confirmed": "yes", "index": "0"}

    for url, action in itertools.product(addresses(one_of_each), DOERS):
        browser.get(url)
        browser.get(url, {"action": action, **asked})

    assert rows() == before


def test_a_form_of_the_page_does_what_its_button_says(browser, one_of_each):
    page = browser.get(page_of(Job, one_of_each[Job])).content.decode()

    browser.post(list_of(Job), {"action": "run_now", "_selected_action": one_of_each[Job]})

    assert f'action="{list_of(Job)}"' in page
    assert Job.objects.get().run_after.year < 2038
