"""What the tests of the backend share."""

import pytest

from django_schwartz.backend.compat import task_backends
from django_schwartz.worker import registry


@pytest.fixture
def backend(database):
    return task_backends["default"]


@pytest.fixture
def work(client):
    """Perform all tasks that are due, as runschwartz does."""

    def work():
        client.can_do_all()
        client.work_until_done()

    return work


@pytest.fixture
def _nothing_known(monkeypatch):
    """No worker is registered here: the tasks have yet to be found."""
    monkeypatch.setattr(registry, "_workers", {})
