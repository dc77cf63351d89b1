"""`pytest --no-skip`: a skip is a failure, so that CI cannot pass by leaving something out."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skip", action="store_true", help="fail where a test is skipped")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return failed_if_skipped((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return failed_if_skipped((yield), collector.config)


def failed_if_skipped(report: Report, config: pytest.Config) -> Report:
    is_expected_failure = hasattr(report, "wasxfail")
    if config.getoption("no_skip") and report.skipped and not is_expected_failure:
        report.outcome = "failed"
        report.longrepr = f"--no-skip forbids this. {report.longrepr[2]}"
    return report
