"""The tests' own settings leave nothing behind."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.settings import RUN_VARIABLE


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "import django; django.setup()"], ids=["cut", "all"]
)
def test_who_only_reads_the_settings_makes_no_folder(tmp_path, end):
    inherited = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}

    subprocess.run(
        [sys.executable, "-c", f"import os, tests.settings; {end}"],
        cwd=ROOT,
        env={**inherited, "TMPDIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=True,
    )

    assert list(tmp_path.iterdir()) == []
