"""What the pages of docs/ show runs as it stands there.

A page's Python is executed from top to bottom, its sessions are doctests, and its own tests are
run. Blocks whose caption is "settings.py" are settings, and those "with" another library are that
one's.
"""

import doctest
import inspect
import re
import shlex
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from django.core.checks import ERROR
from django.core.management import load_command_class
from django.dispatch import Signal
from django.test import SimpleTestCase, override_settings

from django_schwartz import signals
from django_schwartz.checks import check_settings
from django_schwartz.conf import KEYS, Conf
from django_schwartz.worker import registry
from tests.cases import run_case
from tests.samples import ROOT, samples

PAGES = sorted((ROOT / "docs").glob("*.rst"))
SAMPLES = [sample for page in PAGES for sample in samples(page)]
DJANGO_TASKS = ROOT / "docs" / "from_django_tasks_db.rst"


def ids(values):
    return [str(getattr(value, "stem", value)) for value in values]


def runnable_pages():
    pages = {s.page for s in SAMPLES if s.language in ("python", "pycon") and is_run(s)}
    if find_spec("django_schwartz.backend") is None:
        pages.discard(DJANGO_TASKS)
    return sorted(pages)


def is_run(sample):
    return sample.caption != "settings.py" and not sample.is_of_another_library


@pytest.mark.parametrize("page", runnable_pages(), ids=ids(runnable_pages()))
def test_a_page_runs_from_top_to_bottom(page, database, request):
    with override_settings(**tasks_setting(page)):
        names = run_samples(page)
        assert registry.conflicts == []
        for name, value in list(names.items()):
            if is_test_case(value):
                run_case(value, database)
            elif name.startswith("test_"):
                run_function(value, request)


def run_samples(page):
    """What the page defines, from its first block to its last."""
    names = {"__name__": "a_page", "write_rows": lambda arg: None, "connect_to": mail_server}
    for sample in filter(is_run, samples(page)):
        if sample.language == "python":
            exec(compile(sample.code, str(sample), "exec"), names)
        elif sample.language == "pycon":
            run_session(sample, names)
    return names


def is_test_case(value):
    return (
        inspect.isclass(value)
        and issubclass(value, SimpleTestCase)
        and value.__module__ == "a_page"
    )


def tasks_setting(page):
    """TASKS, where the page sets it."""
    names = settings_of([s for s in samples(page) if s.caption == "settings.py"])
    return {"TASKS": names["TASKS"]} if "TASKS" in names else {}


def settings_of(blocks):
    names = {"INSTALLED_APPS": [], "DATABASES": {}, "BASE_DIR": ROOT}
    for sample in blocks:
        exec(sample.code, names)
    return names


def test_each_check_is_on_the_page_of_settings():
    modules = (ROOT / "django_schwartz").rglob("*.py")
    numbers = {n for path in modules for n in re.findall(r"\b[EW]0\d\d\b", path.read_text())}

    assert numbers == set(re.findall(r"\b[EW]0\d\d\b", (ROOT / "docs/settings.rst").read_text()))


@contextmanager
def mail_server(domain):
    yield SimpleNamespace(send=lambda arg: None)


def run_session(sample, names):
    test = doctest.DocTestParser().get_doctest(sample.code, names, str(sample), None, None)
    told = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(test, out=told.append, clear_globs=False)
    names.update(test.globs)
    assert not told, "".join(told)


def run_function(test, request):
    given = {name: request.getfixturevalue(name) for name in inspect.signature(test).parameters}
    test(**given)


@pytest.mark.parametrize(
    "sample", [s for s in SAMPLES if s.caption == "settings.py"], ids=lambda sample: str(sample)
)
def test_settings_are_as_the_checks_want_them(sample):
    names = settings_of([sample])

    with override_settings(SCHWARTZ=names.get("SCHWARTZ", {})):
        assert [m for m in check_settings() if m.level >= ERROR] == []


def commands():
    """Each `runschwartz` of the pages, and of their unit files and manifests."""
    for sample in SAMPLES:
        for words in re.findall(r"manage\.py runschwartz(.*)", sample.code):
            yield param_of(sample, words)
        for words in re.findall(r'"runschwartz", (.*)\]', sample.code):
            yield param_of(sample, words.replace(",", " "))


def param_of(sample, words):
    return pytest.param(sample, words, id=f"{sample} {words}")


@pytest.mark.parametrize(("sample", "words"), list(commands()))
def test_commands_have_only_options_that_there_are(sample, words):
    parser = load_command_class("django_schwartz", "runschwartz").create_parser("", "runschwartz")

    parser.parse_args(shlex.split(words, comments=True))


def test_all_settings_are_told_with_their_defaults():
    page = (ROOT / "docs" / "settings.rst").read_text()
    told = dict(re.findall(r"^``([A-Z_]+)`` = ``(.+)``$", page, flags=re.M))

    assert set(told) == set(KEYS)
    for key, default in told.items():
        actual = getattr(Conf, key.lower())
        assert eval(default) == (list(actual) if isinstance(actual, tuple) else actual)


def test_all_signals_are_told():
    page = (ROOT / "docs" / "signals.rst").read_text()
    there_are = {name for name, value in vars(signals).items() if isinstance(value, Signal)}

    assert set(re.findall(r"^``(\w+)``$", page, flags=re.M)) == there_are
