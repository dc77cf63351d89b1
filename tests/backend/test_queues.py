"""A worker process may be for some queues only."""

import pytest
from django.core.management import call_command

from django_schwartz.client import TheSchwartz
from django_schwartz.models import Job
from tests.app import tasks

QUEUES = {"a job": None, "default": "default", "reports": "reports", "mail": "mail"}


@pytest.fixture
def _queued(client):
    for name, queue in QUEUES.items():
        client.dispatch_async("Note", name, queue_name=queue)


def left():
    return {job.arg for job in Job.objects.all()}


@pytest.mark.usefixtures("_queued")
@pytest.mark.parametrize(
    ("options", "remaining"),
    [
        ({}, set()),
        ({"queues": ["reports"]}, {"a job", "default", "mail"}),
        ({"queues": ["default"]}, {"reports", "mail"}),
        ({"queues": ["reports", "mail"]}, {"a job", "default"}),
        ({"queues": ["nothing"]}, set(QUEUES)),
        ({"excluded_queues": ["reports"]}, {"reports"}),
        ({"excluded_queues": ["default"]}, {"a job", "default"}),
        (
            {"queues": ["reports", "mail"], "excluded_queues": ["mail"]},
            {"a job", "default", "mail"},
        ),
    ],
)
def test_the_options_say_which_queues(database, options, remaining):
    call_command("runschwartz", until_done=True, reload=False, processes=0, **options)

    assert left() == remaining


@pytest.mark.usefixtures("_queued")
@pytest.mark.parametrize(
    ("arguments", "remaining"),
    [
        (["--queue", "reports", "--queue", "mail"], {"a job", "default"}),
        (["--exclude-queue", "mail", "--exclude-queue", "default"], {"a job", "default", "mail"}),
    ],
)
@pytest.mark.parametrize("processes", [0, 1])
def test_the_command_line_says_which_queues(manage, database, processes, arguments, remaining):
    process = manage("runschwartz", *arguments, "--until-done", "--processes", processes)
    assert process.wait(timeout=60) == 0

    assert left() == remaining


@pytest.mark.usefixtures("_queued")
def test_a_portable_grab_is_for_chosen_queues_too(client, dialect):
    client.can_do("Note")
    client.queues = ["mail"]

    client.work_until_done()

    assert left() == {"a job", "default", "reports"}


def test_a_task_goes_to_the_queue_it_names(database):
    tasks.add.using(queue_name="reports").enqueue(1)

    assert Job.objects.get().queue_name == "reports"


def test_a_client_asks_for_all_queues(database):
    client = TheSchwartz()

    assert (client.queues, client.excluded_queues) == ([], [])
