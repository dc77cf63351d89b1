"""Workers: their names and policies, and the registry that finds them."""

import logging
import os
import subprocess
import sys

import pytest
from django.core.management.sql import emit_post_migrate_signal

from django_schwartz import Worker, register
from django_schwartz.exceptions import UnknownFunction
from django_schwartz.models import FuncMap, Job
from django_schwartz.worker import registry
from tests.conftest import ROOT

# Names


def test_a_worker_goes_by_the_name_of_its_class():
    class SendMail(Worker):
        pass

    assert SendMail.funcname == "SendMail"


def test_a_worker_may_say_another_name():
    class SendMail(Worker):
        funcname = "My::Worker::Mail"

    assert SendMail.funcname == "My::Worker::Mail"


def test_a_name_that_a_class_says_is_not_its_childrens():
    class SendMail(Worker):
        funcname = "mail"

    class SendSpam(SendMail):
        pass

    assert SendSpam.funcname == "SendSpam"


# The registry


def test_register_is_called_with_a_class_and_gives_it_back():
    class SendMail(Worker):
        pass

    given_back = register(SendMail)

    assert given_back is SendMail
    assert registry["SendMail"] is SendMail


def test_register_decorates_a_class():
    @register
    class SendMail(Worker):
        pass

    assert registry["SendMail"] is SendMail


def test_a_worker_is_registered_under_the_name_that_it_says():
    @register
    class SendMail(Worker):
        funcname = "mail"

    assert registry["mail"] is SendMail
    assert "mail" in registry
    assert "SendMail" not in registry


def test_a_worker_registered_twice_is_no_conflict():
    @register
    class SendMail(Worker):
        pass

    register(SendMail)

    assert registry.conflicts == []
    assert list(registry).count(SendMail) == 1


def test_the_first_of_two_workers_of_a_name_stays_and_the_conflict_is_remembered():
    class First(Worker):
        funcname = "mail"

    class Second(Worker):
        funcname = "mail"

    register(First)
    register(Second)

    assert registry["mail"] is First
    assert registry.conflicts == [(First, Second)]


@pytest.mark.parametrize("what", [None, "SendMail", object, Worker, Worker(), Job], ids=repr)
def test_only_a_class_of_workers_can_be_registered(what):
    with pytest.raises(TypeError, match=r"register\(\) takes a subclass of Worker, not "):
        register(what)


def test_a_worker_can_be_unregistered():
    @register
    class SendMail(Worker):
        pass

    registry.unregister(SendMail)

    assert "SendMail" not in registry


def test_a_worker_that_came_second_unregisters_nothing():
    class First(Worker):
        funcname = "mail"

    class Second(Worker):
        funcname = "mail"

    register(First)

    registry.unregister(Second)

    assert registry["mail"] is First


def test_an_unknown_function_is_a_lookup_error_that_says_what_to_do():
    with pytest.raises(LookupError) as raised:
        registry["Nobody"]

    assert type(raised.value) is UnknownFunction
    assert str(raised.value) == (
        "No worker named 'Nobody' is registered: import its module, or register() it in an "
        "AppConfig.ready()."
    )


def test_a_function_without_a_worker_has_the_policies_of_a_plain_worker():
    assert registry.get("Nobody") is Worker


def test_workers_may_be_registered_while_the_registry_is_read():
    class Late(Worker):
        pass

    for _ in registry:
        register(Late)

    assert "Late" in registry


# Policies


def test_the_policies_of_a_plain_worker():
    policies = {
        "max_retries": Worker.policy("max_retries", Job()),
        "retry_delay": Worker.policy("retry_delay", 1),
        "keep_exit_status_for": Worker.policy("keep_exit_status_for"),
        "grab_for": Worker.policy("grab_for"),
    }

    assert policies == {
        "max_retries": 0,
        "retry_delay": 0,
        "keep_exit_status_for": 0,
        "grab_for": 3600,
    }
    assert Worker.keep_errors_for == 604_800
    assert Worker.arg_format == "json"


def test_an_attribute_is_the_policy():
    class SendMail(Worker):
        max_retries = 5
        retry_delay = 0.5
        keep_exit_status_for = 86_400
        grab_for = 600

    assert SendMail.policy("max_retries", Job()) == 5
    assert SendMail.policy("retry_delay", 3) == 0.5
    assert SendMail.policy("keep_exit_status_for") == 86_400
    assert SendMail.policy("grab_for") == 600


def test_a_hook_decides_over_the_attribute():
    class SendMail(Worker):
        max_retries = 5
        retry_delay = 60

        def get_max_retries(self, job):
            return job.priority

        def get_retry_delay(self, failures):
            return self.retry_delay * 2**failures

    assert SendMail.policy("max_retries", Job(priority=9)) == 9
    assert SendMail.policy("retry_delay", 3) == 480


def test_a_hook_that_gives_nothing_says_0():
    class SendMail(Worker):
        retry_delay = 60

        def get_retry_delay(self, failures):
            return None

    assert SendMail.policy("retry_delay", 1) == 0


@pytest.mark.parametrize(
    ("endless", "most"), [(float("inf"), 10_000_000_000), (float("-inf"), -10_000_000_000)]
)
def test_a_hook_that_gives_infinity_says_some_centuries(endless, most):
    class SendMail(Worker):
        def get_retry_delay(self, failures):
            return endless

    assert SendMail.policy("retry_delay", 1) == most


@pytest.mark.parametrize("nonsense", ["soon", object(), [60], float("nan")], ids=type)
def test_the_attribute_holds_when_its_hook_gives_no_number(nonsense, caplog):
    class SendMail(Worker):
        retry_delay = 60

        def get_retry_delay(self, failures):
            return nonsense

    delay = SendMail.policy("retry_delay", 1)

    assert delay == 60
    assert caplog.messages == ["SendMail.get_retry_delay() failed; retry_delay = 60 holds"]


def test_the_attribute_holds_when_its_hook_raises_and_the_log_has_the_traceback(caplog):
    class SendMail(Worker):
        max_retries = 5

        def get_max_retries(self, job):
            raise ZeroDivisionError

    retries = SendMail.policy("max_retries", Job())

    assert retries == 5
    [record] = caplog.records
    assert (record.name, record.levelno) == ("django_schwartz", logging.ERROR)
    assert record.exc_info[0] is ZeroDivisionError


def test_an_endless_attribute_holds_as_some_centuries_when_its_hook_raises():
    class SendMail(Worker):
        max_retries = float("inf")

        def get_max_retries(self, job):
            raise ZeroDivisionError

    assert SendMail.policy("max_retries", Job()) == 10_000_000_000


def test_the_attribute_holds_when_the_worker_cannot_be_made(caplog):
    class SendMail(Worker):
        grab_for = 600

        def __init__(self, server):
            self.server = server

    assert SendMail.policy("grab_for") == 600


def test_a_worker_without_work_says_so():
    class SendMail(Worker):
        pass

    with pytest.raises(NotImplementedError, match=r"^SendMail has no work\(\) method\.$"):
        SendMail().work(Job())


# Starting up, in processes of their own


@pytest.fixture
def python(tmp_path):
    """Run a program in the folder of a project, with these files in it; give what it prints."""

    def run(program, files=(), **environment):
        for name, text in dict(files).items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        process = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={
                **{k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
                "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
                **environment,
            },
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout.split()

    return run


def test_the_package_can_be_imported_without_settings_and_imports_no_model(python):
    printed = python(
        "import sys\n"
        "from django_schwartz import Worker, register\n"
        "@register\n"
        "class SendMail(Worker): pass\n"
        "print([name for name in sys.modules if name.startswith(('django.', 'django_schwartz.'))])"
    )

    assert "".join(printed) == "['django_schwartz.exceptions','django_schwartz.worker']"


PROJECT = {
    "project.py": "INSTALLED_APPS = ['shop.apps.ShopConfig', 'django_schwartz', 'bare']\n",
    "shop/__init__.py": "",
    "bare/__init__.py": "",
    "shop/apps.py": (
        "from django.apps import AppConfig\n"
        "from django_schwartz import Worker, register\n"
        "class Ready(Worker): pass\n"
        "class ShopConfig(AppConfig):\n"
        "    name = 'shop'\n"
        "    def ready(self): register(Ready)\n"
    ),
    "shop/workers.py": (
        "from django_schwartz import Worker, register\n"
        "from django_schwartz.models import Job\n"
        "@register\n"
        "class Found(Worker): pass\n"
    ),
}

SETUP = "import django; django.setup()\n"


def test_workers_are_found_in_modules_of_that_name_and_in_ready_methods(python):
    printed = python(
        SETUP + "from django_schwartz.worker import registry\n"
        "print(*sorted(worker.funcname for worker in registry))",
        PROJECT,
        DJANGO_SETTINGS_MODULE="project",
    )

    assert printed == ["Found", "Ready"]


def test_a_workers_module_that_cannot_be_imported_is_an_error(python):
    printed = python(
        "try:\n"
        "    import django; django.setup()\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error.name)",
        {**PROJECT, "shop/workers.py": "import no_such_module\n"},
        DJANGO_SETTINGS_MODULE="project",
    )

    assert printed == ["no_such_module"]


# The functions' rows


def test_migrate_gives_every_registered_worker_a_row(database):
    @register
    class SendMail(Worker):
        pass

    emit_post_migrate_signal(verbosity=0, interactive=False, db=database)

    assert FuncMap.objects.filter(funcname="SendMail").exists()
    assert FuncMap.objects.filter(funcname="Note").exists()


def test_migrate_again_leaves_the_rows_as_they_are(database):
    emit_post_migrate_signal(verbosity=0, interactive=False, db=database)
    before = list(FuncMap.objects.order_by("pk").values())

    emit_post_migrate_signal(verbosity=0, interactive=False, db=database)

    assert list(FuncMap.objects.order_by("pk").values()) == before


class QueueElsewhere:
    def allow_migrate(self, db, app_label, **hints):
        return app_label != "django_schwartz"


def test_migrate_makes_no_row_in_a_database_that_has_no_queue(database, settings):
    FuncMap.objects.using(database).all().delete()
    settings.DATABASE_ROUTERS = [QueueElsewhere(), *settings.DATABASE_ROUTERS]

    emit_post_migrate_signal(verbosity=0, interactive=False, db=database)

    assert not FuncMap.objects.using(database).exists()


def test_migrate_forgets_the_rows_of_tables_that_were_emptied(client, database):
    client.dispatch_async("Unheard").job.completed()
    FuncMap.objects.all().delete()
    emit_post_migrate_signal(verbosity=0, interactive=False, db=database)

    handle = client.dispatch_async("Unheard")

    assert handle.job.funcname == "Unheard"
    assert FuncMap.objects.get(pk=handle.job.funcid).funcname == "Unheard"
