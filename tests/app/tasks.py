"""Tasks that the tests, and child processes of them, perform."""

import asyncio
import os
import signal
import sys

from django_schwartz.backend import task
from tests.app.models import Trace


@task
def add(one, other=0):
    return one + other


@task
async def add_later(one, other=0):
    return one + other


@task(takes_context=True)
def attempts_of(context, *, fail_until=0):
    if context.attempt <= fail_until:
        raise ValueError(f"attempt {context.attempt}")
    return {"attempt": context.attempt, "id": context.task_result.id}


@task
def give(what):
    """Return what the tests name: things that JSON or a database cannot hold."""
    return {
        "NUL": "a\0b",
        "NaN": float("nan"),
        "surrogate": "\udc80",
        "function": give,
        "backslash": "\\u0000",
        "tuple": (1, {"2": (3,)}),
        "none": None,
    }[what]


@task
def fail(kind="ValueError", message="it failed"):
    raise {
        "ValueError": ValueError,
        "SystemExit": SystemExit,
        "KeyboardInterrupt": KeyboardInterrupt,
        "BaseException": BaseException,
    }[kind](message)


@task(max_retries=2)
def fail_twice_again():
    raise ValueError("again")


@task(max_retries=5, retry_on=(OSError,), fail_on=(FileNotFoundError,))
def retry_on_oserror(kind):
    raise {"OSError": OSError, "FileNotFoundError": FileNotFoundError, "KeyError": KeyError}[kind]


@task(max_retries=3, backoff=lambda failures: 60 * failures)
def wait_longer():
    raise ValueError("not yet")


@task(atomic=True)
def trace(what, fail=False):
    Trace.objects.create(jobid=0, what=what)
    if fail:
        raise ValueError("the trace is not to be seen")
    return what


@task(uniqkey=lambda user, **_: f"user-{user}", coalesce="users")
def greet(user, greeting="hello"):
    return f"{greeting} {user}"


@task(keep_results_for=0)
def forget():
    return "forgotten"


@task
def crash():
    os.kill(os.getpid(), signal.SIGKILL)


def no_task():
    raise AssertionError("a function that is no task was called")


@task
async def break_the_loop(how):
    """End the event loop that performs this task and others, from a task of its own."""
    loop = asyncio.get_running_loop()

    async def leave():
        loop.stop() if how == "stop" else sys.exit()

    await loop.create_task(leave())
    return "went on"
