"""The pytest plugin, as an installed django_schwartz gives it to a project."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from django_schwartz import pytest_plugin

ROOT = Path(__file__).parents[2]

TESTS = """
from datetime import timedelta

import pytest

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.testing import work_until_done
from django_schwartz.worker import registry

pytestmark = pytest.mark.django_db(databases=["sqlite"])


def test_clock(schwartz_clock):
    TheSchwartz().dispatch_async("Note", run_after=timedelta(hours=1))
    schwartz_clock.move(timedelta(hours=1, seconds=1))
    assert len(work_until_done()) == 1


def test_inline(schwartz_inline):
    TheSchwartz().dispatch_async("Note")
    assert [performed.is_completed for performed in schwartz_inline] == [True]


def test_workers(schwartz_workers):
    @register
    class Local(Worker):
        pass

    assert "Local" in registry


def test_workers_are_forgotten():
    assert "Local" not in registry
"""


def test_the_entry_point_is_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [(name, value)] = project["entry-points"]["pytest11"].items()

    assert EntryPoint(name, value, "pytest11").load() is pytest_plugin


def test_its_fixtures_serve_a_project(tmp_path):
    (tmp_path / "test_shop.py").write_text(TESTS)
    own = {"DJANGO_SCHWARTZ_TEST_DATABASE": "sqlite", "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **own}
    for ours in ("DJANGO_SCHWARTZ_TEST_RUN", "PYTEST_ADDOPTS"):
        environment.pop(ours, None)
    plugins = ["no:django_schwartz", pytest_plugin.__name__, "no:cacheprovider"]
    options = ["-q", *(word for plugin in plugins for word in ("-p", plugin))]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--ds=tests.settings", "test_shop.py"],
        cwd=tmp_path,
        env={**environment, "DJANGO_SCHWARTZ_TEST_POSTGRES": "none"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "4 passed" in done.stdout, done.stdout + done.stderr
