"""A worker performs a task that it finds in an installed app; nothing else is ever called.

And nothing else is imported for that but an app's modules `tasks`.
"""

import importlib
import sys

import pytest

from django_schwartz.backend.compat import TaskResultDoesNotExist, TaskResultStatus
from django_schwartz.backend.finding import find_tasks, find_worker, make_known
from django_schwartz.exceptions import UnknownFunction
from django_schwartz.models import FuncMap, Job
from django_schwartz.stats import nobody_can_do
from django_schwartz.worker import registry
from tests import app
from tests.app import tasks

CALL = {"args": ["ann"], "kwargs": {}}


def test_a_decorated_function_is_known_by_its_path():
    assert registry["tests.app.tasks.add"].task is tasks.add


@pytest.mark.usefixtures("_nothing_known")
def test_the_modules_tasks_of_the_apps_are_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "tests.app.tasks")

    find_tasks()

    assert "tests.app.tasks.add" in registry


def test_a_task_elsewhere_in_an_app_is_found_by_its_path(client, backend, work, monkeypatch):
    monkeypatch.delitem(sys.modules, "tests.app.mail.tasks", raising=False)
    handle = client.dispatch_async("tests.app.mail.tasks.welcome", CALL)

    work()

    assert backend.get_result(str(handle)).return_value == "welcome ann"


def test_a_result_is_found_by_a_process_that_never_imported_the_task(client, backend, monkeypatch):
    monkeypatch.delitem(sys.modules, "tests.app.mail.tasks", raising=False)
    handle = client.dispatch_async("tests.app.mail.tasks.welcome", CALL)

    assert backend.get_result(str(handle)).task.name == "welcome"


@pytest.mark.parametrize(
    "name",
    [
        "tests.app.mail.tasks.no_task",
        "tests.app.mail.tasks.borrowed",
        "tests.app.mail.tasks.nothing",
        "tests.app.nowhere.welcome",
        "tests.app.nowhere.tasks.welcome",
        "tests.app.mail.tasks",
        "tests.rows.row_of",
        "subprocess.check_output",
        "os.system",
        "builtins.print",
        "django.core.management.call_command",
        "django_schwartz.backend.task.task",
        "welcome",
        "",
        ".",
        "tests.app..mail.tasks.welcome",
        "tests.application.welcome",
    ],
)
def test_what_is_no_task_of_an_app_is_not_found(name):
    assert find_worker(name) is None


def test_what_is_not_found_waits_and_is_counted(client, backend, work):
    handle = client.dispatch_async("tests.app.mail.tasks.no_task", CALL)

    work()

    assert handle.is_pending
    assert Job.objects.get().grabs == 0
    assert nobody_can_do(handle.alias) == {"tests.app.mail.tasks.no_task": 1}
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(str(handle))
    with pytest.raises(UnknownFunction):
        client.work_on(handle)


@pytest.mark.usefixtures("_nothing_known")
def test_a_task_that_nothing_imported_yet_is_not_counted(client, database):
    client.dispatch_async("tests.app.mail.tasks.welcome", CALL)

    assert nobody_can_do(database) == {}


@pytest.fixture
def write_modules(tmp_path, monkeypatch):
    """Add modules to tests.app, by the path of each file; none of them stays imported."""
    known = set(sys.modules)
    monkeypatch.setattr(app, "__path__", [*app.__path__, str(tmp_path)])

    def write(**sources):
        for name, source in sources.items():
            file = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - known:
        if name.startswith("tests.app."):
            del sys.modules[name]


EXITS = "raise SystemExit(3)"
TASK = """
from django_schwartz.backend import task

@task
def send(): ...
"""


@pytest.mark.parametrize("source", [EXITS, "import nowhere", "raise ValueError"])
def test_a_module_that_cannot_be_imported_has_its_tasks_wait(write_modules, source, caplog):
    write_modules(broken__tasks=source)

    assert find_worker("tests.app.broken.tasks.send") is None

    assert "cannot import tests.app.broken.tasks.send: " in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        "exiting.go",
        "exiting.tasks.go",
        "exiting.tasks.mail.go",
        "folder.exiting.go",
        "folder.exiting.tasks.go",
        "folder.tasks_of_old.go",
    ],
)
def test_a_module_that_is_not_named_tasks_is_not_imported(write_modules, name, caplog):
    write_modules(exiting=EXITS, folder__exiting=EXITS, folder__tasks_of_old=EXITS)

    assert find_worker(f"tests.app.{name}") is None

    assert caplog.text == ""


def test_a_package_is_not_imported_for_tasks_that_it_has_not(write_modules, tmp_path, caplog):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text(EXITS)
    write_modules()

    assert find_worker("tests.app.package.tasks.go") is None

    assert caplog.text == ""


@pytest.mark.parametrize("name", ["letters.tasks", "letters.tasks.of_old"])
def test_a_module_below_one_named_tasks_is_imported(write_modules, name):
    write_modules(**{name.replace(".", "__"): TASK})

    assert find_worker(f"tests.app.{name}.send") is not None


def test_a_task_elsewhere_in_an_app_is_found_once_its_module_is_imported(write_modules):
    write_modules(letters=TASK)
    assert find_worker("tests.app.letters.send") is None

    importlib.import_module("tests.app.letters")

    assert find_worker("tests.app.letters.send") is not None


def test_what_is_looked_at_in_a_module_runs_nothing_of_it(write_modules, caplog):
    source = """
from django.utils.functional import SimpleLazyObject

def go(*args):
    raise SystemExit(3)

lazy = SimpleLazyObject(go)
__getattr__ = go
"""
    write_modules(looked_at__tasks=source)

    assert find_worker("tests.app.looked_at.tasks.lazy") is None
    assert find_worker("tests.app.looked_at.tasks.nothing") is None

    assert caplog.text == ""


@pytest.mark.usefixtures("_nothing_known")
def test_a_function_that_turns_up_later_is_performed(client, backend):
    client.can_do_all()
    handle = client.dispatch_async("tests.app.mail.tasks.welcome", CALL)
    assert not client.work_once()

    client.look_for_abilities()

    assert client.work_once()
    assert backend.get_result(str(handle)).status == TaskResultStatus.SUCCESSFUL


def test_a_client_of_chosen_workers_looks_for_no_others(client, database):
    client.can_do("tests.app.tasks.add")
    FuncMap.objects.get_or_make("tests.app.mail.tasks.welcome", using=database)

    client.look_for_abilities()

    assert client.all_abilities == ["tests.app.tasks.add"]


def test_a_function_of_a_module_that_was_loaded_anew_takes_the_place_of_the_old():
    def reloaded(one, other=0): ...

    reloaded.__module__, reloaded.__qualname__ = "tests.app.tasks", "add"
    anew = type(tasks.add)(func=reloaded)

    make_known(anew)

    assert registry["tests.app.tasks.add"].task is anew


def test_a_changed_copy_of_a_task_does_not_take_its_place():
    tasks.add.using(priority=9)

    assert registry["tests.app.tasks.add"].task is tasks.add


def test_a_task_of_another_backend_that_is_sent_here_is_performed(database, settings, work):
    from django_schwartz.backend.compat import Task

    module = Task.__module__.partition(".base")[0]
    settings.TASKS = {
        **settings.TASKS,
        "dummy": {"BACKEND": f"{module}.backends.dummy.DummyBackend"},
    }
    plain = Task(
        func=tasks.add.func,
        backend="dummy",
        priority=0,
        queue_name="default",
        run_after=None,
    )

    result = plain.using(backend="default", priority=2).enqueue(1, other=2)
    work()

    result.refresh()
    assert result.return_value == 3


def test_a_process_of_its_own_performs_what_it_never_saw_before(manage, client, backend):
    sum_of_two = tasks.add_later.enqueue(1, other=2)
    welcome = client.dispatch_async("tests.app.mail.tasks.welcome", CALL)

    process = manage("runschwartz", "--until-done")
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert backend.get_result(sum_of_two.id).return_value == 3
    assert backend.get_result(str(welcome)).return_value == "welcome ann"
