"""System checks: what is wrong is said before a job finds out, and what to do about it."""

import os
import subprocess
import sys

import pytest
from django.core.checks import run_checks
from django.db import connections

from django_schwartz import Worker, register
from django_schwartz.conf import KEYS
from django_schwartz.worker import registry
from tests.conftest import ROOT

PROJECT = """
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django_schwartz"]
"""

GOOD = {
    "DATABASES": ["default"],
    "PRIORITIZE": False,
    "FLOOR": -5,
    "BATCH_SIZE": 1,
    "STRICT_REMOVE_ABILITY": True,
    "RETRY_SECONDS": 0.5,
    "POLL_SECONDS": 0.1,
    "LEASE_SECONDS": 3,
    "MAX_ARG_BYTES": 1,
}


def found():
    """What the checks say of this package, as (id, message, hint)."""
    messages = run_checks(databases=[])
    return [(m.id, m.msg, m.hint) for m in messages if m.id.startswith("django_schwartz.")]


@pytest.fixture
def good(settings):
    """Settings that the checks find nothing wrong with."""
    settings.SCHWARTZ = {}
    return settings


# Silence


def test_a_project_that_sets_nothing_has_nothing_wrong(good):
    del good.SCHWARTZ

    assert found() == []


@pytest.mark.parametrize("key", GOOD)
def test_a_good_value_has_nothing_wrong(good, key):
    good.SCHWARTZ = {key: GOOD[key]}

    assert found() == []


def test_a_good_worker_has_nothing_wrong(good):
    @register
    class Send(Worker):
        max_retries = 5
        retry_delay = 0.5
        keep_exit_status_for = 86_400
        grab_for = 600
        keep_errors_for = 0
        arg_format = "storable"

        def work(self, job):
            job.completed()

    assert found() == []


def test_a_worker_of_all_defaults_has_nothing_wrong(good):
    @register
    class Send(Worker):
        def work(self, job):
            job.completed()

    assert found() == []


# E001


@pytest.mark.parametrize("value", [None, ["default"], "DATABASES", 7], ids=repr)
def test_e001_the_setting_must_be_a_dict(good, value):
    good.SCHWARTZ = value

    assert ("django_schwartz.E001", "SCHWARTZ must be a dict.", None) in found()


# E002


def test_e002_a_key_that_does_not_exist_has_the_nearest_one_as_its_hint(good):
    good.SCHWARTZ = {"RETRY_SECOND": 3}

    assert found() == [
        (
            "django_schwartz.E002",
            "SCHWARTZ has no key 'RETRY_SECOND'.",
            "Did you mean 'RETRY_SECONDS'?",
        )
    ]


def test_e002_a_key_in_small_letters_has_the_one_in_capitals_as_its_hint(good):
    good.SCHWARTZ = {"batch_size": 3}

    assert found() == [
        ("django_schwartz.E002", "SCHWARTZ has no key 'batch_size'.", "Did you mean 'BATCH_SIZE'?")
    ]


def test_e002_a_key_like_no_other_has_all_keys_as_its_hint(good):
    good.SCHWARTZ = {"xyzzy": 3}

    assert found() == [
        (
            "django_schwartz.E002",
            "SCHWARTZ has no key 'xyzzy'.",
            f"The keys are {', '.join(KEYS)}.",
        )
    ]


def test_e002_every_key_that_does_not_exist_is_told_of(good):
    good.SCHWARTZ = {"xyzzy": 3, 7: 4, "BATCH_SIZE": 5}

    assert [message for _, message, _ in found()] == [
        "SCHWARTZ has no key 7.",
        "SCHWARTZ has no key 'xyzzy'.",
    ]


# E003


@pytest.mark.parametrize(
    ("key", "value", "wrong"),
    [
        ("PRIORITIZE", 1, "must be True or False, not 1"),
        ("STRICT_REMOVE_ABILITY", None, "must be True or False, not None"),
        ("FLOOR", "3", "must be a number, not '3'"),
        ("FLOOR", True, "must be a number, not True"),
        ("BATCH_SIZE", 0, "must be more than 0, not 0"),
        ("BATCH_SIZE", None, "must be a number, not None"),
        ("RETRY_SECONDS", -1, "must be more than 0, not -1"),
        ("RETRY_SECONDS", float("nan"), "must be a number, not nan"),
        ("POLL_SECONDS", 0, "must be more than 0, not 0"),
        ("POLL_SECONDS", float("inf"), "must be a number, not inf"),
        ("LEASE_SECONDS", 0, "must be more than 0, not 0"),
        ("LEASE_SECONDS", 2, "must be 3 or more, not 2"),
        ("MAX_ARG_BYTES", "1 MB", "must be a number, not '1 MB'"),
    ],
)
def test_e003_a_value_of_the_wrong_kind(good, key, value, wrong):
    good.SCHWARTZ = {key: value}

    assert found() == [("django_schwartz.E003", f"SCHWARTZ['{key}'] {wrong}.", None)]


@pytest.mark.parametrize(
    "value", ["default", None, [], ["default", "default"], {"default": 1}, [["default"]]], ids=repr
)
def test_e003_databases_must_be_a_list_of_different_aliases(good, value):
    good.SCHWARTZ = {"DATABASES": value}

    assert (
        "django_schwartz.E003",
        f"SCHWARTZ['DATABASES'] must be a list of one or more different aliases, not {value!r}.",
        None,
    ) in found()


# E004


def test_e004_an_alias_that_does_not_exist_has_those_that_do_as_its_hint(good, monkeypatch):
    good.SCHWARTZ = {"DATABASES": ["default", "nowhere"]}

    [(number, message, hint)] = found()

    assert number == "django_schwartz.E004"
    assert message == "SCHWARTZ['DATABASES'] names 'nowhere', which DATABASES does not have."
    assert hint.startswith("DATABASES has default, sqlite")


# W001


def test_w001_default_without_a_queue_has_two_ways_out_as_its_hint(good):
    good.SCHWARTZ = {"DATABASES": ["sqlite"]}

    assert found() == [
        (
            "django_schwartz.W001",
            '"default" holds no queue: a dispatch is no part of its transactions.',
            "Dispatch with on_commit=True, or add 'default' to SCHWARTZ['DATABASES'].",
        )
    ]


# E005


def test_e005_two_workers_of_one_funcname(good):
    @register
    class Send(Worker):
        def work(self, job):
            job.completed()

    first = Send

    @register
    class Mail(Worker):
        funcname = "Send"

        def work(self, job):
            job.completed()

    path = "tests.test_checks.test_e005_two_workers_of_one_funcname.<locals>"
    assert found() == [
        (
            "django_schwartz.E005",
            f"{path}.Mail has the funcname 'Send', which is {path}.Send's.",
            "Set another funcname on one of the classes.",
        )
    ]
    assert registry["Send"] is first


# E007


def test_e007_a_queue_database_without_autocommit(good, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", False)

    [(number, message, hint)] = found()

    assert number == "django_schwartz.E007"
    assert message == (
        "The queue database 'default' has AUTOCOMMIT off: nothing recorded there would stay."
    )
    assert "atomic()" in hint


# E006


@pytest.mark.parametrize(
    ("attribute", "value", "wrong"),
    [
        ("max_retries", -1, "has max_retries = -1; it must be a number, 0 or more"),
        ("max_retries", None, "has max_retries = None; it must be a number, 0 or more"),
        ("retry_delay", "60", "has retry_delay = '60'; it must be a number, 0 or more"),
        ("retry_delay", float("nan"), "has retry_delay = nan; it must be a number, 0 or more"),
        ("grab_for", True, "has grab_for = True; it must be a number, 0 or more"),
        (
            "keep_exit_status_for",
            [1],
            "has keep_exit_status_for = [1]; it must be a number, 0 or more",
        ),
        ("keep_errors_for", -0.5, "has keep_errors_for = -0.5; it must be a number, 0 or more"),
        (
            "arg_format",
            "pickle",
            "has arg_format = 'pickle'; it must be one of json, storable, raw",
        ),
        ("max_crashes", "x", "has max_crashes = 'x'; it must be a number, 0 or more"),
        ("retry_on", "all", "has retry_on = 'all'; it must be a tuple of exception classes"),
        (
            "fail_on",
            (KeyError, "x"),
            "has fail_on = (<class 'KeyError'>, 'x'); it must be a tuple of exception classes",
        ),
        ("funcname", "", "has the funcname ''; it must have 1 to 255 characters"),
        (
            "funcname",
            "f" * 256,
            f"has the funcname {'f' * 256!r}; it must have 1 to 255 characters",
        ),
        ("funcname", 7, "has the funcname 7; it must have 1 to 255 characters"),
        ("work", Worker.work, "has no work() method"),
    ],
    ids=repr,
)
def test_e006_a_worker_with_a_senseless_policy(good, attribute, value, wrong):
    def work(self, job):
        job.completed()

    Send = type("Send", (Worker,), {"work": work, attribute: value})
    register(Send)

    assert found() == [("django_schwartz.E006", f"tests.test_checks.Send {wrong}.", None)]


def test_e006_a_coroutine_that_would_be_atomic(good):
    @register
    class Send(Worker):
        atomic = True

        async def work(self, job):
            await job.acompleted()

    [(number, message, _)] = found()
    assert number == "django_schwartz.E006"
    assert message.endswith(" is atomic, and its work() a coroutine, which runs in no transaction.")


@pytest.mark.parametrize("name", ["retry_on", "fail_on"])
@pytest.mark.parametrize("value", [KeyError, (), (KeyError, (ValueError,))], ids=repr)
def test_whatever_isinstance_takes_for_exceptions_is_good(good, name, value):
    register(type("Send", (Worker,), {"work": lambda self, job: None, name: value}))

    assert found() == []


def test_e006_everything_that_is_wrong_with_a_worker_is_told(good):
    @register
    class Send(Worker):
        max_retries = -1
        arg_format = "pickle"

    assert [number for number, _, _ in found()] == ["django_schwartz.E006"] * 3


# manage.py check


@pytest.fixture
def check(tmp_path):
    """Run `manage.py check` on a project of such settings; give its exit code and its output.

    Or another command.
    """

    def run(*lines, command=("check",)):
        (tmp_path / "project.py").write_text("\n".join([PROJECT, *lines]))
        process = subprocess.run(
            [sys.executable, "-m", "django", *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "project"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return process.returncode, process.stdout

    return run


POOLED = {"ENGINE": "django.db.backends.postgresql"}


TWO = 'DATABASES["queue"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}'
ELSEWHERE = 'SCHWARTZ = {"DATABASES": ["queue"]}'
ROUTED = 'DATABASE_ROUTERS = ["django_schwartz.routers.QueueRouter"]'


def test_tables_in_a_default_database_without_a_queue_are_warned_of(check):
    code, output = check(TWO, ELSEWHERE)

    assert code == 0
    assert (
        '(django_schwartz.W003) "default" holds no queue, and yet `migrate` makes its tables there.'
        in output
    )
    assert "HINT: Add 'django_schwartz.routers.QueueRouter' to DATABASE_ROUTERS" in output


@pytest.mark.parametrize("lines", [(TWO,), (TWO, ELSEWHERE, ROUTED)], ids=["default", "routed"])
def test_tables_where_the_queue_is_are_not_warned_of(check, lines):
    code, output = check(*lines)

    assert code == 0
    assert "W003" not in output


@pytest.mark.parametrize(
    ("pool", "most"),
    [(True, 4), ({"max_size": 7}, 7), ({"min_size": 5}, 5), ({"min_size": 1, "max_size": None}, 1)],
)
def test_a_pool_that_is_smaller_than_a_worker_process_is_warned_of(check, pool, most):
    database = {**POOLED, "OPTIONS": {"pool": pool}}

    code, output = check(f'DATABASES = {{"default": {database}}}')

    assert code == 0
    assert (
        f"(django_schwartz.W002) The pool of the database 'default' has {most} connections at most,"
        " and a worker process of 4 threads needs 8: the threads and its own four."
    ) in output


@pytest.mark.parametrize("pool", [False, {}, {"max_size": 8}, {"min_size": 8}])
def test_a_pool_that_is_large_enough_is_not(check, pool):
    database = {**POOLED, "OPTIONS": {"pool": pool}}

    code, output = check(f'DATABASES = {{"default": {database}}}')

    assert (code, "W002" in output) == (0, False)


def test_runschwartz_refuses_a_pool_that_is_too_small_for_its_threads(check):
    away = {"NAME": "queue", "HOST": "/nowhere"}
    database = {**POOLED, **away, "OPTIONS": {"pool": {"max_size": 9, "timeout": 0.1}}}

    code, output = check(
        f'DATABASES = {{"default": {database}}}',
        'INSTALLED_APPS = ["django_schwartz", "tests.app"]',
        command=("runschwartz", "--threads", "6"),
    )

    assert code == 1
    assert "CommandError: The pool of the database 'default' has 9 connections at most" in output
    assert "6 threads needs 10" in output


def test_manage_check_is_silent_on_a_good_project(check):
    code, output = check()

    assert (code, output) == (0, "System check identified no issues (0 silenced).\n")


def test_manage_check_shows_an_error_with_its_hint_and_fails(check):
    code, output = check('SCHWARTZ = {"RETRY_SECOND": 3}')

    assert code == 1
    assert "?: (django_schwartz.E002) SCHWARTZ has no key 'RETRY_SECOND'." in output
    assert "HINT: Did you mean 'RETRY_SECONDS'?" in output
    assert "Traceback" not in output
