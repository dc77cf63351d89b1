"""Lines of the log that are written together are those that would be written one by one."""

import io
import logging
import re

import pytest

from django_schwartz.logs import OwnHandler, log_lines, logger

LINES = [("Mail", "default", 1), ("100 %s", "default", 2)]


class Records(logging.Handler):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def own(monkeypatch):
    """The handler of a log that nobody else sees; what it writes is its stream's value."""
    handler = OwnHandler()
    handler.setStream(io.StringIO())
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.manager._clear_cache()
    yield handler
    logger.manager._clear_cache()


def written(handler):
    return re.sub(r"[-\d]+ [:\d]+,\d+", "TIME", handler.stream.getvalue())


def test_lines_of_a_log_of_ones_own_are_whole_lines(own):
    log_lines(logging.INFO, "%s %s-%s completed", LINES)

    assert written(own).splitlines() == [
        "TIME INFO Mail default-1 completed",
        "TIME INFO 100 %s default-2 completed",
    ]


def test_where_others_see_them_each_is_a_record_and_the_text_is_the_same(own):
    log_lines(logging.WARNING, "%s %s-%s failed", LINES)
    together = written(own)
    own.setStream(io.StringIO())
    others = Records()
    logger.addHandler(others)

    log_lines(logging.WARNING, "%s %s-%s failed", LINES)

    assert others.messages == ["Mail default-1 failed", "100 %s default-2 failed"]
    assert written(own) == together


def test_a_filter_of_the_projects_sees_each_line(own, monkeypatch):
    monkeypatch.setattr(logger, "filters", [lambda record: "-2" in record.getMessage()])

    log_lines(logging.INFO, "%s %s-%s completed", LINES)

    assert written(own) == "TIME INFO 100 %s default-2 completed\n"


def test_a_level_that_is_not_shown_costs_no_line(own):
    log_lines(logging.DEBUG, "%s %s-%s completed", LINES)

    assert written(own) == ""
