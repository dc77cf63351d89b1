"""The tests' own MariaDB works where it is installed, and goes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mariadb
from tests.conftest import ROOT
from tests.waiting import until

START_AND_WAIT = """
import signal
from tests import mariadb

print(mariadb.start().folder, flush=True)
signal.pause()
"""


@pytest.fixture
def _installed():
    if not mariadb.programs():
        pytest.skip("no MariaDB is installed here")


@pytest.mark.usefixtures("_installed")
def test_a_server_of_their_own_is_gone_when_stopped():
    server = mariadb.start()

    version = mariadb.version_if_usable(server.url)
    mode = server.folder.stat().st_mode & 0o777
    server.stop()
    server.stop()

    assert version
    assert mode == 0o700
    assert not server.folder.exists()
    assert mariadb.version_if_usable(server.url) is None


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_of_their_own_is_gone_when_the_tests_are_killed(number):
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as tests:
        folder = Path(tests.stdout.readline().rstrip())
        tests.send_signal(number)

    until(lambda: not folder.exists())


def test_none_means_no_server(monkeypatch):
    monkeypatch.setenv(mariadb.VARIABLE, "none")

    assert mariadb.find_or_start() is None


def test_child_processes_use_the_same_server(monkeypatch):
    server = mariadb.find_or_start()
    if server is None:
        pytest.skip("no MariaDB is installed here, and none runs")

    assert os.environ[mariadb.VARIABLE] == server.url


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        (
            "mysql://me:sec%40ret@db:3307",
            {"USER": "me", "PASSWORD": "sec@ret", "HOST": "db", "PORT": 3307},
        ),
        (
            "mysql://root@?socket=/tmp/mysql.sock",
            {"USER": "root", "PASSWORD": "", "HOST": "/tmp/mysql.sock", "PORT": ""},
        ),
    ],
)
def test_a_named_server_becomes_settings(url, settings):
    named = mariadb.Server(url, "").settings

    assert {key: named[key] for key in settings} == settings
    assert named["ENGINE"] == "django.db.backends.mysql"
