"""A module that nothing imports but who looks for the tasks in it."""

from django_schwartz.backend import task
from tests.app import tasks

borrowed = tasks.add


@task
def welcome(name):
    return f"welcome {name}"


def no_task(name):
    raise AssertionError("a function that is no task was called")
