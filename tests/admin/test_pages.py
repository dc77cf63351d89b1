"""What the page of one job, exit status, error or function shows."""

import html
import json
import re

import pytest

from django_schwartz import Worker, register
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from django_schwartz.storable import freeze
from tests.admin.conftest import page_of
from tests.app.workers import Raise


def texts(response):
    """The preformatted texts of a page."""
    assert response.status_code == 200
    content = response.content.decode()
    return [
        html.unescape(text)
        for text in re.findall(r'<pre class="schwartz-text">(.*?)</pre>', content, re.DOTALL)
    ]


def stored(client, arg):
    """A job whose arg is these bytes in the database, whatever they are."""
    handle = client.dispatch_async("Note")
    Job.objects.filter(pk=handle.jobid).update(arg=arg)
    return handle


def test_a_job_shows_its_arg_as_indented_json(browser, client):
    arg = {"to": ["ä@example.org", None], "n": 1}
    handle = client.dispatch_async("Note", arg)

    [text] = texts(browser.get(page_of(Job, handle.jobid)))

    assert text == json.dumps(arg, indent=2, ensure_ascii=False)


@pytest.mark.parametrize(
    ("arg", "text"),
    [
        (b'"just text"', '"just text"'),
        (b"7", "7"),
        (b"\xff\xfe\x00", r"b'\xff\xfe\x00'"),
        (freeze({"a": [1, "x"]}), '{\n  "a": [\n    1,\n    "x"\n  ]\n}'),
        (freeze({"a": b"\xff"}), '{\n  "a": "b\'\\\\xff\'"\n}'),
        (rb'"\u0000 and \ud800"', r'"\u0000 and \ud800"'),
    ],
)
def test_an_arg_is_shown_as_what_it_is(browser, client, arg, text):
    handle = stored(client, arg)

    assert texts(browser.get(page_of(Job, handle.jobid))) == [text]


@pytest.mark.parametrize(
    "arg",
    [b"{broken", b"\x05\x0b\x03 broken", b"[" * 90_000, b"1" * 5000],
    ids=lambda arg: repr(arg[:10]),
)
def test_an_arg_that_cannot_be_shown_as_json_is_shown_as_its_bytes(browser, client, arg):
    handle = stored(client, arg)

    [text] = texts(browser.get(page_of(Job, handle.jobid)))

    assert repr(arg[:10])[:-1] in text


def test_an_arg_may_be_nested_deeper_than_python_writes_json(browser, client):
    for depth in (100, 900, 90_000):
        handle = stored(client, b"[" * depth + b"]" * depth)

        assert texts(browser.get(page_of(Job, handle.jobid)))


def test_the_middle_of_a_long_arg_is_cut_out(browser, client):
    handle = client.dispatch_async("Note", "x" * 500_000)

    [text] = texts(browser.get(page_of(Job, handle.jobid)))

    assert len(text) < 70_000
    assert "characters cut" in text


def test_an_arg_of_more_bytes_than_are_dispatched_is_not_read(browser, client, settings):
    handle = client.dispatch_async("Note", "x" * 100)
    settings.SCHWARTZ = {**settings.SCHWARTZ, "MAX_ARG_BYTES": 50}

    [text] = texts(browser.get(page_of(Job, handle.jobid)))

    assert text == "102 bytes, which are too many to show."


def test_a_job_without_an_arg_shows_none(browser, client):
    handle = client.dispatch_async("Note")

    assert texts(browser.get(page_of(Job, handle.jobid))) == []


def test_an_arg_that_is_raw_is_never_interpreted(browser, client):
    @register
    class Raw(Worker):
        arg_format = "raw"

    handle = client.dispatch_async("Raw", b'{"a":1}')

    assert texts(browser.get(page_of(Job, handle.jobid))) == ["""b'{"a":1}'"""]


def test_a_job_shows_the_tracebacks_of_its_errors_newest_first(browser, client, monkeypatch):
    monkeypatch.setattr(Raise, "max_retries", 5)
    handle = client.dispatch_async("Raise", "wrong")
    client.can_do(Raise)
    client.work_once()
    Job.objects.get().add_failure("wrong again")

    arg, newest, oldest = texts(browser.get(page_of(Job, handle.jobid)))

    assert arg == '"wrong"'
    assert newest == "wrong again"
    assert oldest.startswith("Traceback (most recent call last):")
    assert oldest.endswith("RuntimeError: wrong\n")


def test_a_job_shows_its_latest_fifty_errors(browser, client, error):
    handle = client.dispatch_async("Note")
    for number in range(51):
        error(f"number {number}", jobid=handle.jobid, error_time=1000 + number)

    shown = texts(browser.get(page_of(Job, handle.jobid)))

    assert shown == [f"number {number}" for number in range(50, 0, -1)]


def test_who_may_not_view_errors_sees_none_on_the_page_of_a_job(staff, client, error):
    handle = client.dispatch_async("Note")
    error("secret", jobid=handle.jobid)

    assert texts(staff("view_job").get(page_of(Job, handle.jobid))) == []


def test_an_exit_status_shows_the_job_its_result_and_its_errors(browser, exit_status, error):
    exit_status(7, arg=b'{"a":1}', result=[1, 2], meta={"by": "hand"})
    error("It failed.", jobid=7)

    assert texts(browser.get(page_of(ExitStatus, 7))) == [
        '{\n  "a": 1\n}',
        "[\n  1,\n  2\n]",
        '{\n  "by": "hand"\n}',
        "It failed.",
    ]


def test_an_error_shows_all_of_its_message_and_its_traceback(browser, error):
    row = error("one\ntwo", traceback="Traceback ...", exception="shop.Trouble")

    response = browser.get(page_of(Error, row.pk))

    assert texts(response) == ["one\ntwo", "Traceback ..."]
    assert "shop.Trouble" in response.content.decode()


def test_a_function_shows_its_worker(browser, client):
    funcid = client.dispatch_async("Note").job.funcid

    content = browser.get(page_of(FuncMap, funcid)).content.decode()

    assert "tests.app.workers.Note" in content


@pytest.mark.parametrize("model", [Job, ExitStatus, Error, FuncMap])
@pytest.mark.parametrize("pk", ["1234567", "x", "9" * 30])
def test_the_page_of_nothing_leads_to_the_index(browser, model, pk):
    response = browser.get(page_of(model, pk))

    assert response.status_code == 302
    assert response.url == "/admin/"


def test_the_page_of_a_job_offers_what_can_be_done(browser, client):
    handle = client.dispatch_async("Note")

    content = browser.get(page_of(Job, handle.jobid)).content.decode()

    assert re.findall(r'name="action" value="(\w+)"', content) == ["run_now", "cancel"]


def test_the_page_of_a_grabbed_job_offers_nothing(browser, client):
    client.can_do("Note")
    client.dispatch_async("Note")
    job = client.find_job_for_workers()

    assert b'name="action"' not in browser.get(page_of(Job, job.jobid)).content


@pytest.mark.parametrize(("status", "verbs"), [(0, []), (1, ["dispatch_again"])])
def test_the_page_of_an_exit_status_offers_to_dispatch_what_failed(
    browser, exit_status, status, verbs
):
    exit_status(7, status=status)

    content = browser.get(page_of(ExitStatus, 7)).content.decode()

    assert re.findall(r'name="action" value="(\w+)"', content) == verbs
