"""Whatever the rows hold, and whoever wrote it there, is text on every page."""

import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections

import django_schwartz
from django_schwartz.dialects import ServerTime
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from tests.admin.conftest import browser_of, list_of

PACKAGE = Path(django_schwartz.__file__).parent

ATTACKS = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</pre></textarea><svg onload=alert(1)>",
    "{{ 7|add:7 }}{% url 'admin:index' %}",
    "javascript:alert(1)",
    "\u202e\u2028\x1b[31m\x07\x7f\ud7ff\U0010ffff",
    "%s%(x)s{0}{x}",
]


MARKUP = ATTACKS[:3]


def scripts_in(page):
    """The tags of a page that would run something."""
    tags = Tags()
    tags.feed(page)
    return tags.found


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        is_script = tag == "script" and "src" not in given
        runs = [name for name in given if name.startswith("on")]
        links = [value for value in given.values() if (value or "").startswith("javascript:")]
        if is_script or runs or links:
            self.found.append((tag, given))


def everywhere(text, *, using, jobid=4711):
    """Rows of two jobs that hold the text in each of their columns of text."""
    name = text[:255]
    function = FuncMap.objects.using(using).create(funcname=name)
    shared = {
        "func": function,
        "arg": text.encode(),
        "uniqkey": name,
        "coalesce": name,
        "queue_name": name,
        "meta": {name: text},
        "run_after": ServerTime(),
    }
    Job.objects.create(**shared, jobid=jobid, grabbed_by=name, grabbed_until=ServerTime() + 60)
    ExitStatus.objects.create(
        **shared,
        jobid=jobid + 1,
        status=1,
        completion_time=ServerTime(),
        worker_id=name,
        result={name: text},
    )
    for number in (jobid, jobid + 1, jobid + 2):
        Error.objects.create(
            jobid=number,
            func=function,
            message=text,
            error_time=ServerTime(),
            worker_id=name,
            exception=name,
            traceback=text,
        )
    FuncMap.objects.forget(using=using)


def crawl(browser):
    """The pages of the queue that links lead to, by address: of the lists, with one filter."""
    waiting, pages = [list_of(model) for model in (Job, ExitStatus, Error, FuncMap)], {}
    while waiting:
        url = waiting.pop()
        if url in pages:
            continue
        response = browser.get(url)
        assert response.status_code == 200, url
        pages[url] = response.content.decode()
        links = re.findall(r'href="(/admin/django_schwartz/[^"]+|\?[^"]*)"', pages[url])
        base = url.partition("?")[0]
        waiting += [
            base + link if link.startswith("?") else link for link in links if "&amp;" not in link
        ]
    return pages


def test_text_of_the_rows_is_text_on_every_page(browser, database):
    for number, attack in enumerate(ATTACKS):
        everywhere(attack, using=database, jobid=1000 + 10 * number)

    pages = crawl(browser)

    assert len(pages) > 50
    for url, page in pages.items():
        assert scripts_in(page) == [], url
        assert not any(attack in page for attack in MARKUP), url


def test_nul_is_no_trouble(browser, database):
    if not connections[database].features.prohibits_null_characters_in_text_exception:
        everywhere("nul \0 nul", using=database)
    else:
        everywhere("nul", using=database)
        Job.objects.update(arg=b"nul \0 nul")

    assert crawl(browser)


def test_a_nul_in_a_search_is_refused(browser, client):
    response = browser.get(list_of(Job), {"q": "\0"})

    assert "Null characters are not allowed." in response.content.decode()


@pytest.mark.parametrize("attack", MARKUP, ids=range(3))
def test_what_an_action_tells_is_text(database, client, attack):
    browser = browser_of(User.objects.create_superuser(attack))
    handle = client.dispatch_async(attack)
    data = {"action": "cancel", "_selected_action": handle.jobid}

    pages = [
        browser.post(list_of(Job), data),
        browser.post(list_of(Job), {**data, "confirmed": "yes"}, follow=True),
        browser.get(list_of(Error)),
        browser.get("/admin/"),
    ]

    assert handle.failure_log == [f"Cancelled by {attack}."]
    for page in pages:
        assert attack not in page.content.decode()
        assert scripts_in(page.content.decode()) == []


@pytest.mark.parametrize("model", [Job, ExitStatus, Error])
def test_what_the_address_holds_is_text(browser, model):
    parameters = "q", "function", "state", "outcome", "group", "p", "o", "_popup"

    for parameter, attack in product(parameters, MARKUP):
        answer = browser.get(list_of(model), {parameter: attack}, follow=True)
        assert attack not in answer.content.decode()
        assert scripts_in(answer.content.decode()) == []


def test_nothing_is_marked_as_safe_and_no_template_has_a_script():
    code = [path.read_text() for path in (PACKAGE / "admin").glob("*.py")]
    templates = [path.read_text() for path in (PACKAGE / "templates").rglob("*.html")]

    assert code
    assert templates
    for text in (*code, *templates):
        assert not re.search(r"mark_safe|SafeString\(|\|\s*safe|autoescape|<script|<style", text)
