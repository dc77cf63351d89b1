"""Starting anew when the code changes: what is a change, and what a new process gets.

That no job is interrupted is in test_runschwartz.py.
"""

import importlib
import os
import subprocess
import sys
import threading
import zipfile

import pytest
from django.utils.autoreload import StatReloader

from django_schwartz.reloading import watch_code, why_not_to_start
from tests.conftest import ROOT
from tests.waiting import until


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The file of a module that is in use."""
    path = tmp_path / "watched_by_a_test.py"
    path.write_text("ANSWER = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(path.stem)
    yield path
    del sys.modules[path.stem]


@pytest.fixture
def looks(monkeypatch):
    """How often the watcher has looked; it looks often."""
    looks = []
    snapshot = StatReloader.snapshot_files

    def look(reloader):
        files = list(snapshot(reloader))
        looks.append(len(files))
        return iter(files)

    monkeypatch.setattr(StatReloader, "snapshot_files", look)
    monkeypatch.setattr(StatReloader, "SLEEP_TIME", 0.01)
    return looks


@pytest.fixture
def watch(module, looks):
    """Watch the code; give an event that is set when a change is told."""
    told = threading.Event()
    told.why_not = ""
    calls = []

    def changed():
        calls.append(threading.current_thread())
        told.set()

    watch_code(changed, why_not=lambda: told.why_not)
    until(lambda: looks)
    told.calls = calls
    yield told
    told.why_not = ""
    write(module, "THE = 'end'\n")
    told.wait(10)
    for thread in calls:
        thread.join(10)


def write(path, text):
    """Save the file, later than it was saved before."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def look_twice(looks):
    """Return when the watcher has looked at everything once more, from beginning to end."""
    seen = len(looks)
    until(lambda: len(looks) >= seen + 2)


def test_a_change_of_a_module_in_use_is_told(watch, module):
    write(module, "ANSWER = 43\n")

    assert watch.wait(10)


def test_a_change_of_an_archive_of_modules_in_use_is_told(module, looks, monkeypatch):
    archive = module.with_name("archive_of_a_test.zip")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_for_a_test.py", "ANSWER = 42\n")
    monkeypatch.syspath_prepend(archive)
    monkeypatch.setitem(sys.modules, "zipped", importlib.import_module("zipped_for_a_test"))
    told = threading.Event()
    watch_code(told.set, why_not=lambda: "")
    until(lambda: looks)

    os.utime(archive, ns=(10**18, 10**18))

    assert told.wait(10)


def test_a_change_is_told_once_and_the_watch_is_over(watch, module):
    write(module, "ANSWER = 43\n")
    watch.wait(10)
    [thread] = watch.calls

    thread.join(10)

    assert not thread.is_alive()
    assert len(watch.calls) == 1


def test_the_watch_keeps_no_process_alive(watch, module):
    write(module, "ANSWER = 43\n")
    watch.wait(10)

    assert watch.calls[0].daemon is True


def test_code_that_does_not_change_is_not_told_of(watch, looks):
    look_twice(looks)

    assert not watch.is_set()


@pytest.mark.parametrize(
    "text",
    ["def half_saved(", "ANSWER = '\n", "\0", "  indented = 1\n", "ANSWER = 4é3\n"],
    ids=repr,
)
def test_a_module_that_does_not_compile_is_not_told_of(watch, module, looks, text):
    write(module, text)

    look_twice(looks)

    assert not watch.is_set()


def test_a_module_that_compiles_again_is_told_of(watch, module, looks):
    write(module, "def half_saved(")
    look_twice(looks)

    write(module, "def half_saved(): pass\n")

    assert watch.wait(10)


def test_a_module_that_cannot_start_is_not_told_of_but_logged_on_one_line(
    watch, module, looks, caplog
):
    watch.why_not = "ImportError: no such thing"

    write(module, "ANSWER = 43\n")
    look_twice(looks)
    look_twice(looks)

    assert not watch.is_set()
    assert caplog.messages == [
        "the code changed but cannot start, waiting for a change: ImportError: no such thing"
    ]


def test_a_module_that_can_start_again_is_told_of(watch, module, looks, caplog):
    watch.why_not = "ImportError: no such thing"
    write(module, "ANSWER = 43\n")
    until(lambda: caplog.messages)
    watch.why_not = ""

    write(module, "ANSWER = 44\n")

    assert watch.wait(10)


def test_a_module_that_was_missing_is_told_of(watch, module, looks, caplog):
    watch.why_not = "ImportError: no such thing"
    write(module, "import missing_thing\n")
    until(lambda: caplog.messages)
    look_twice(looks)
    watch.why_not = ""

    module.with_name("missing_thing.py").write_text("")

    assert watch.wait(10)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ANSWER = 42\n", ""),
        ("import no_such_thing\n", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("raise SystemExit(3)\n", "exit status 3"),
    ],
)
def test_a_new_process_is_tried_out_before_it_takes_the_place(
    module, monkeypatch, database, text, reason
):
    monkeypatch.setenv("DJANGO_SCHWARTZ_TEST_APP", module.stem)
    write(module, text)

    assert why_not_to_start() == reason


def test_a_project_that_its_checks_refuse_is_not_started(module, monkeypatch, database):
    monkeypatch.setenv("DJANGO_SCHWARTZ_TEST_APP", module.stem)
    write(
        module,
        "from django.core.checks import Error, register\n"
        "register(lambda **_: [Error('Nothing is right.')])\n",
    )

    reason = why_not_to_start()

    assert "Nothing is right." in reason
    assert reason.isprintable()


def test_a_module_that_is_gone_is_not_told_of(watch, module, looks):
    module.unlink()

    look_twice(looks)

    assert not watch.is_set()


def test_a_module_that_was_gone_while_it_was_saved_is_told_of(watch, module, looks):
    before = module.stat().st_mtime_ns
    module.unlink()
    look_twice(looks)

    module.write_text("ANSWER = 43\n")
    os.utime(module, ns=(before + 10**9, before + 10**9))

    assert watch.wait(10)


def test_a_module_that_comes_into_use_is_no_change(watch, module, looks, monkeypatch):
    late = module.with_name("imported_late_by_a_test.py")
    late.write_text("ANSWER = 42\n")
    monkeypatch.setitem(sys.modules, late.stem, importlib.import_module(late.stem))

    look_twice(looks)

    assert not watch.is_set()


def test_a_new_process_has_the_command_line_and_the_number_of_the_old_one(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "from django_schwartz.reloading import start_anew\n"
        "print(os.getpid(), *sys.argv[1:])\n"
        "print('said before', file=sys.stderr, end='')\n"
        "if not os.environ.get('AGAIN'):\n"
        "    os.environ['AGAIN'] = 'yes'\n"
        "    start_anew()\n"
    )

    process = subprocess.run(
        [sys.executable, program, "--delay", "0.5", "two words"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "AGAIN": ""},
        capture_output=True,
        text=True,
    )

    first, second = process.stdout.splitlines()
    assert first == second
    assert first.endswith(" --delay 0.5 two words")
    assert process.stderr == "said before" * 2
