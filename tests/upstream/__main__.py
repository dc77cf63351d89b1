"""Run the public tests of Django's tasks, and of django-tasks-db, against the backend.

`python -m tests.upstream --database postgresql` fetches them from the packages' source archives on
PyPI, for the Django that runs, into a folder that is gone afterwards. On a Django without tasks the
tests are Django 6.0's, and the tasks the backport's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import django

from tests.postgres import find_or_start
from tests.upstream.sdists import extract, newest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    database = parser.parse_args().database
    with tempfile.TemporaryDirectory(prefix="django_schwartz_upstream_") as folder:
        workspace = Path(folder) / "workspace"
        shutil.copytree(HERE / "workspace", workspace)
        fetch_tests(workspace)
        return subprocess.call(
            [sys.executable, "run_suite.py"],
            cwd=workspace,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(workspace), str(ROOT)]),
                "UPSTREAM_DATABASE": json.dumps(settings_of(database, workspace)),
                # Django's own tests refresh results within coroutines.
                "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
            },
        )


def fetch_tests(workspace: Path) -> None:
    release = django.get_version() if django.VERSION >= (6, 0) else newest("django", "6.0.")
    extract("django", release, "tests/tasks/", workspace / "tasks")
    release = newest("django-tasks-db", "0.13.")
    extract("django-tasks-db", release, "tests/tests.py", workspace / "tests" / "tests.py")


def settings_of(database: str, workspace: Path) -> dict[str, object]:
    if database == "postgresql":
        server = find_or_start()
        if server is None:
            sys.exit("no PostgreSQL server, and none could be started")
        return {**server.settings, "TEST": {"NAME": f"test_upstream_{os.getpid()}"}}
    path = str(workspace / "queue.sqlite3")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "TEST": {"NAME": path},
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }


if __name__ == "__main__":
    sys.exit(main())
