"""A process that cannot start is tried again, later and later, and never given up."""

import pytest

from tests.waiting import until

pytestmark = pytest.mark.only_on("sqlite")

#: Workers that cannot be imported in a process of the supervisor's, as long as a file is there.
BROKEN = """
from multiprocessing import parent_process
from pathlib import Path
if parent_process() and Path({broken!r}).exists():
    with Path({starts!r}).open("a") as starts:
        starts.write("started\\n")
    raise RuntimeError("broken")
"""


@pytest.fixture
def app(tmp_path):
    """A folder with an app of broken workers; gives it."""
    (tmp_path / "frail").mkdir()
    (tmp_path / "frail" / "__init__.py").touch()
    (tmp_path / "broken").touch()
    source = BROKEN.format(broken=str(tmp_path / "broken"), starts=str(tmp_path / "starts"))
    (tmp_path / "frail" / "workers.py").write_text(source)
    return tmp_path


def test_a_crash_loop_at_the_start_is_slowed_down_and_ends_when_its_cause_is_gone(
    client, start, app
):
    handle = client.dispatch_async("Note")

    running = start(DJANGO_SCHWARTZ_TEST_APP="frail", PYTHONPATH=str(app))
    running.wait_for("died: exit code 1", times=3)
    starts = (app / "starts").read_text().count("started")
    (app / "broken").unlink()
    until(lambda: handle.exit_status == 0)

    assert starts <= 4
    assert handle.failures == 0
    assert running.stop() == 0, running.output
