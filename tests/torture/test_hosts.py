"""The hosts of a torture: what their processes are told, and by which clock."""

import os
import subprocess
import sys
import time

import pytest

from django_schwartz.torture.hosts import Host, library_of_wrong_clocks
from django_schwartz.torture.rules import Rules

LIBRARY = library_of_wrong_clocks()
CLOCKS = "import time; print(time.time(), time.monotonic())"


@pytest.mark.skipif(LIBRARY is None, reason="no libfaketime (apt-get install faketime)")
@pytest.mark.parametrize("skew", [300, -300])
def test_a_wrong_clock_says_another_time_and_counts_the_seconds_of_the_ledger(skew):
    rules = Rules(settings="", ledger="", databases=[], lease_seconds=4, keeper=0, skew=skew)
    host = Host(rules, log=None, processes=1, threads=1, library=LIBRARY)

    told = subprocess.check_output(
        [sys.executable, "-c", CLOCKS], env={**os.environ, **host.environment}, text=True
    )
    wall, monotonic = map(float, told.split())

    assert wall - time.time() == pytest.approx(skew, abs=30)
    assert monotonic == pytest.approx(time.monotonic(), abs=30)


def test_a_project_that_installs_their_app_is_told_to_take_it_out():
    process = subprocess.run(
        [sys.executable, "-m", "django", "check", "--settings=tests.settings"],
        env={**os.environ, "DJANGO_SCHWARTZ_TEST_APP": "django_schwartz.torture"},
        capture_output=True,
        text=True,
    )

    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == (
        "django.core.exceptions.ImproperlyConfigured: Take django_schwartz.torture out of"
        " INSTALLED_APPS: schwartz_torture, a command of django_schwartz itself, adds it in its own"
        " processes."
    )
