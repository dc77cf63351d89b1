"""What README.rst shows runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from django_schwartz import Worker, register
from django_schwartz.conf import KEYS, Conf
from django_schwartz.models import Job

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.rst").read_text()


def blocks(language):
    """The code blocks in that language, in their order, without their indent."""
    found = re.findall(rf"\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", README)
    return [re.sub(r"^    ", "", block, flags=re.M) for block in found]


@pytest.fixture
def project(tmp_path):
    """A new project with the app `shop`, into which the first block is pasted."""
    django = [sys.executable, "-m", "django"]
    subprocess.run([*django, "startproject", "site_", tmp_path], check=True)
    subprocess.run([*django, "startapp", "shop"], cwd=tmp_path, check=True)
    _, settings, workers, dispatch = re.split(r"^# .*\n", blocks("python")[0], flags=re.M)
    with (tmp_path / "site_" / "settings.py").open("a") as file:
        file.write(settings + 'INSTALLED_APPS += ["shop"]\n')
    (tmp_path / "shop" / "workers.py").write_text(workers)
    (tmp_path / "dispatch.py").write_text(dispatch + "print(handle)\n")
    return tmp_path


def manage(project, *arguments, **options):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "site_.settings",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        **options,
    )


def test_the_first_screen_runs_as_pasted(project):
    migrate, runschwartz = (
        line.removeprefix("$ python manage.py ").split()
        for line in blocks("console")[0].splitlines()[:2]
    )

    manage(project, *migrate)
    handle = manage(project, "shell", "-v0", input=(project / "dispatch.py").read_text()).stdout
    worked = manage(project, *runschwartz, "--until-done", "--no-reload")

    assert handle.strip() == "default-1"
    assert worked.stdout == "to ann@example.org\n"
    assert "SendMail default-1 completed" in worked.stderr


def test_the_dispatches_run_as_pasted(database):
    @register
    class SendMail(Worker):
        pass

    dispatches = next(block for block in blocks("python") if "timedelta(hours=1)" in block)

    exec(dispatches, {})

    assert [job.arg["to"] for job in Job.objects.order_by("jobid")] == [
        "ann@example.org",
        "bob@example.org",
        "cat",
        "dan",
    ]


def test_the_settings_are_all_told_with_their_defaults():
    told = dict(re.findall(r"^``([A-Z_]+)`` +``(.+?)`` ", README, flags=re.M))

    assert set(told) == set(KEYS)
    for key, default in told.items():
        actual = getattr(Conf, key.lower())
        assert eval(default) == (list(actual) if isinstance(actual, tuple) else actual)
