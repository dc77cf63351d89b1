"""The example project: its demo adds up, again and after a stop, and its own tests pass."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MANAGE_PY = ROOT / "example_project" / "manage.py"


class Example:
    """The example project's manage.py, on a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.demo = ["demo", "--recipients=60", f"--log={folder / 'demo.log'}"]
        self.env = os.environ | {
            "DATABASE_URL": f"sqlite://{folder / 'db.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "example.settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(MANAGE_PY), *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        with self.start(*arguments) as process:
            output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def run_demo(self) -> dict[str, str]:
        """Run the demo; return the lines of its summary by their label."""
        lines = self.run(*self.demo).splitlines()
        return {line[:18].strip(): line[18:] for line in lines}


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example(tmp_path)


def test_every_recipient_is_delivered_retried_to_delivery_or_rejected(example):
    summary = example.run_demo()

    assert summary["Recipients"] == "63"
    assert summary["at first try"] == "55 delivered"
    assert summary["after a retry"] == "5 delivered"
    assert summary["rejected"] == "3, by exit status: 1 x 451, 1 x 550, 1 x 552"
    assert summary["Failures"].startswith("11 ")
    assert summary["Connections"].endswith(" for 63 mails accepted")


def test_the_demo_can_be_stopped_and_run_again(example, tmp_path):
    log = tmp_path / "pipe"
    os.mkfifo(log)
    with example.start("demo", "--recipients=60", f"--log={log}") as stopped:
        assert any(line.startswith("Workers") for line in stopped.stdout)
        with log.open() as workers:
            workers.readline()  # a signal sooner than that might interrupt it while it opens this
            stopped.send_signal(signal.SIGINT)
            workers.read()  # ends only when the last worker has
        output, _ = stopped.communicate()
    assert stopped.returncode == 130, output

    summary = example.run_demo()

    assert summary["Recipients"] == "66"
    assert summary["It adds up, and no"] == " job is left."


def test_the_tests_of_its_app_pass(example):
    assert "OK" in example.run("test", "mailinglist").splitlines()


def test_it_passes_the_checks_and_needs_no_migration(example):
    assert "no issues" in example.run("check")
    assert "No changes detected" in example.run("makemigrations", "--check", "--dry-run")
