"""A list of jobs can leave their args in the database; an arg is then read when it is asked for."""

from django_schwartz.models import Job
from django_schwartz.models.arg import arg_as_read, stored_arg


def test_a_deferred_arg_is_read_when_it_is_asked_for(client):
    client.dispatch_async("Note", {"to": "a@example.org"})

    job = Job.objects.defer("arg").get()

    assert job.arg == {"to": "a@example.org"}


def test_a_deferred_arg_keeps_its_stored_form(client):
    client.dispatch_async("Note", {"to": "a@example.org"})

    job = Job.objects.defer("arg").get()

    assert stored_arg(job) == arg_as_read(job) == b'{"to":"a@example.org"}'
