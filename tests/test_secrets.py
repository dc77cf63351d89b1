"""What is secret in an arg, or in the settings of a database, is told to nobody."""

import logging

import pytest

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import AllDatabasesDead
from django_schwartz.models import Error, Job
from tests.rows import lease_elsewhere, rows

CANARY = "s3cret-canary"


class Login(Worker):
    """Does what the arg says, with a password at hand."""

    max_retries = 1
    keep_exit_status_for = 3600

    def work(self, job):
        password = job.arg["password"]
        assert password
        DEEDS[job.arg["deed"]](job)


def fail(job):
    raise RuntimeError("The other side did not answer.")


def fail_after_completing(job):
    job.completed()
    fail(job)


def lose(job):
    lease_elsewhere(job.handle)
    job.completed()


DEEDS = {
    "complete": lambda job: job.completed(),
    "fail": lambda job: job.failed("The other side did not answer."),
    "give up": lambda job: job.permanent_failure("The other side did not answer."),
    "decline": lambda job: job.declined(1),
    "say nothing": lambda job: None,
    "raise": fail,
    "raise after the verdict": fail_after_completing,
    "lose the lease": lose,
    "replace": lambda job: job.replace_with(Job(funcname="Other", arg={"password": CANARY})),
    "debug": lambda job: job.debug("half way"),
}
ARGS = {deed: {"deed": deed, "password": CANARY} for deed in DEEDS}
UNREADABLE = {
    "JSON cut short": b'{"password": "%s"' % CANARY.encode(),
    "JSON that is not UTF-8": b'{"password": "%s\xff"}' % CANARY.encode(),
    "JSON with a number too long": b'{"password": "%s", "n": %s}' % (CANARY.encode(), b"9" * 5000),
    "Storable cut short": b"\x05\x0b\x03\x00\x00\x00\x02\x0a\x0d%s" % CANARY.encode(),
    "Storable with a key twice": b"\x05\x0b\x03\x00\x00\x00\x02"
    + 2 * (b"\x05\x00\x00\x00\x0d%s" % CANARY.encode()),
}


@pytest.fixture
def log(caplog):
    """All that is logged, debug messages too, as a formatter writes it."""
    caplog.set_level(logging.DEBUG, "django_schwartz")
    return caplog


@pytest.mark.parametrize("arg", [*ARGS.values(), *UNREADABLE.values()], ids=[*ARGS, *UNREADABLE])
def test_what_is_in_an_arg_is_in_no_log_and_in_no_error(database, log, capsys, arg):
    register(Login)
    client = TheSchwartz(verbose=True)
    client.can_do("Login")
    handle = client.dispatch_async("Login", arg)
    job = handle.job

    client.work_once()

    told = [log.text, *capsys.readouterr(), repr(rows()[Error]), repr(handle), str(handle)]
    assert log.text or arg == ARGS["say nothing"]
    assert CANARY not in "".join([*told, repr(job), str(job), repr([job]), repr([handle])])


@pytest.mark.parametrize(
    "arg", [{CANARY}, {"password": CANARY, "at": object()}, [CANARY, float("nan")]], ids=type
)
def test_what_is_in_an_arg_is_in_no_refusal_of_a_dispatch(client, arg):
    with pytest.raises(TypeError) as raised:
        client.dispatch_async("Login", arg)

    assert CANARY not in str(raised.value)


def test_an_arg_that_is_given_for_a_job_is_in_no_refusal(client):
    with pytest.raises(TypeError, match=r"takes Jobs, as .* not dict") as dispatched:
        client.dispatch_jobs([{"password": CANARY}])
    with pytest.raises(TypeError, match="takes Jobs, not dict") as replaced:
        Job(funcname="Login").replace_with({"password": CANARY})

    assert CANARY not in f"{dispatched.value} {replaced.value}"


def test_what_is_in_an_arg_that_is_too_long_is_in_no_refusal(client, settings, database):
    settings.SCHWARTZ = {"DATABASES": [database], "MAX_ARG_BYTES": 10}

    with pytest.raises(ValueError, match="more than") as raised:
        client.dispatch_async("Login", CANARY)

    assert CANARY not in str(raised.value)


def test_the_password_of_a_database_is_in_no_log_and_in_no_exception(add_database, log, database):
    nowhere = {"HOST": "127.0.0.1", "PORT": 1, "USER": "worker", "PASSWORD": CANARY}
    alias = add_database(
        "dead", **nowhere, **({"NAME": "/nowhere"} if database == "sqlite" else {})
    )

    with pytest.raises(AllDatabasesDead) as raised:
        TheSchwartz([alias]).dispatch_async("Login")

    assert "dead" in log.text
    assert CANARY not in f"{log.text} {raised.value} {raised.value!r} {raised.value.causes}"
