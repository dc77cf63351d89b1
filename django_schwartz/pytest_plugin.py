"""The pytest plugin: fixtures for tests of jobs.

pytest imports it before Django is set up, so what needs models is imported when it is asked for.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_schwartz.testing import Clock, Performed


@pytest.fixture
def schwartz_clock() -> "Iterator[Clock]":
    """The clock of the queue, to be moved: `schwartz_clock.move(timedelta(hours=1))`."""
    from django_schwartz.testing import Clock

    with Clock() as clock:
        yield clock


@pytest.fixture
def schwartz_inline() -> "Iterator[list[Performed]]":
    """Jobs are performed when they are dispatched; the list fills with what was performed."""
    from django_schwartz.testing import inline

    with inline() as performed:
        yield performed


@pytest.fixture
def schwartz_workers() -> Iterator[None]:
    """Workers that the test registers are forgotten after it."""
    from django_schwartz.worker import registry

    with registry.as_it_was():
        yield
