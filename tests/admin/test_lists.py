"""What the admin's lists show, what they are narrowed by, and what a search finds."""

import html
import re
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from django_schwartz.admin import filters, pages
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from tests.admin.conftest import handles, list_of, page_of
from tests.rows import end_lease, lease_elsewhere

STATES = ["due", "delayed", "grabbed", "lease expired", "nobody can do it"]


def cells(response):
    """The texts of a list's columns by their names, for each row."""
    rows = re.findall(r"<tr>(.*?)</tr>", response.content.decode(), re.DOTALL)
    found = [
        {
            name: html.unescape(re.sub(r"<[^>]*>", "", content)).strip()
            for name, content in re.findall(
                r'<t[dh] class="field-(\w+)[^"]*">(.*?)</t[dh]>', row, re.DOTALL
            )
        }
        for row in rows
    ]
    return [row for row in found if row]


@pytest.fixture
def jobs_in_all_states(client):
    """A job in each state, by the name of what it is in."""
    jobs = {
        "due": client.dispatch_async("Note"),
        "delayed": client.dispatch_async("Note", run_after=timedelta(hours=1)),
        "grabbed": client.dispatch_async("Note"),
        "lapsed": client.dispatch_async("Note"),
        "lapsed and delayed": client.dispatch_async("Note", run_after=timedelta(hours=1)),
        "nobody's": client.dispatch_async("Perl::Worker"),
        "nobody's, delayed": client.dispatch_async("Perl::Worker", run_after=timedelta(hours=1)),
        "nobody's, grabbed": client.dispatch_async("Perl::Worker"),
    }
    lease_elsewhere(jobs["grabbed"])
    lease_elsewhere(jobs["nobody's, grabbed"])
    end_lease(jobs["lapsed"])
    end_lease(jobs["lapsed and delayed"])
    return jobs


# Jobs


def test_a_job_is_listed_with_what_tells_how_it_is(browser, client, database, error):
    handle = client.dispatch_async("Note", uniqkey="user-7", coalesce="example.org", priority=3)
    error(jobid=handle.jobid)
    error(jobid=handle.jobid)
    lease_elsewhere(handle)

    [row] = cells(browser.get(list_of(Job)))

    assert row.pop("run_after")
    assert row.pop("lease").startswith("elsewhere:1:1 until ")
    assert row == {
        "handle": f"{database}-{handle.jobid}",
        "function": "Note",
        "state": "grabbed",
        "uniqkey": "user-7",
        "coalesce": "example.org",
        "priority": "3",
        "failures": "2",
    }


def test_the_newest_job_is_first(browser, client):
    first, second = client.dispatch_async("Note"), client.dispatch_async("Note")

    assert handles(browser.get(list_of(Job))) == [second.jobid, first.jobid]


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("due", "due"),
        ("delayed", "delayed"),
        ("grabbed", "grabbed"),
        ("lapsed", "due lease expired"),
        ("lapsed and delayed", "delayed lease expired"),
        ("nobody's", "due nobody can do it"),
        ("nobody's, delayed", "delayed nobody can do it"),
        ("nobody's, grabbed", "grabbed"),
    ],
)
def test_a_job_shows_its_state_in_words(browser, jobs_in_all_states, which, words):
    handle = jobs_in_all_states[which]

    [row] = cells(browser.get(list_of(Job), {"q": str(handle)}))

    assert row["state"] == words


@pytest.mark.parametrize("state", STATES)
def test_a_state_finds_the_jobs_that_show_its_word(browser, jobs_in_all_states, state):
    everything = cells(browser.get(list_of(Job)))

    found = cells(browser.get(list_of(Job), {"state": state}))

    assert found == [row for row in everything if state in row["state"]]
    assert found


def test_the_databases_clock_decides_on_the_state(browser, jobs_in_all_states):
    before = cells(browser.get(list_of(Job)))

    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        after = cells(browser.get(list_of(Job)))

    assert [row["state"] for row in after] == [row["state"] for row in before]


def test_a_state_that_is_none_narrows_nothing(browser, client):
    client.dispatch_async("Note")

    assert len(handles(browser.get(list_of(Job), {"state": "tired"}))) == 1


def test_jobs_are_narrowed_by_their_function(browser, client):
    client.dispatch_async("Slow")
    handle = client.dispatch_async("Note")

    response = browser.get(list_of(Job), {"function": handle.job.funcid})

    assert handles(response) == [handle.jobid]


@pytest.mark.parametrize("function", ["x", "-1", "9" * 30, "\u0661", "1 OR 1=1"])
def test_a_function_that_is_none_finds_nothing(browser, client, function):
    client.dispatch_async("Note")

    assert handles(browser.get(list_of(Job), {"function": function})) == []


def test_a_bounded_number_of_functions_is_offered(browser, client, monkeypatch):
    monkeypatch.setattr(filters, "FUNCTIONS", 2)
    for funcname in ("c", "b", "a"):
        client.dispatch_async(funcname)
    for row in FuncMap.objects.exclude(funcname__in=["a", "b", "c"]):
        row.delete()
    FuncMap.objects.forget(using=FuncMap.objects.db)

    [function, _] = browser.get(list_of(Job)).context["cl"].filter_specs

    assert [name for _, name in function.lookup_choices] == ["a", "b"]


@pytest.fixture
def three_keys(client):
    return {key: client.dispatch_async("Note", uniqkey=key) for key in ("user-7", "user-70", "u%")}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("user-7", ["user-7"]),
        ("user-*", ["user-70", "user-7"]),
        ("user-7*", ["user-70", "user-7"]),
        ("user", []),
        ("u%", ["u%"]),
        ("u%*", ["u%"]),
        ("u_*", []),
        ("*", ["u%", "user-70", "user-7"]),
    ],
)
def test_a_search_finds_a_uniqkey_or_its_beginning(browser, three_keys, search, found):
    response = browser.get(list_of(Job), {"q": search})

    assert handles(response) == [three_keys[key].jobid for key in found]


def test_a_search_finds_a_job_by_its_number_and_by_its_handle(browser, client, database):
    client.dispatch_async("Note")
    handle = client.dispatch_async("Note")

    assert handles(browser.get(list_of(Job), {"q": handle.jobid})) == [handle.jobid]
    assert handles(browser.get(list_of(Job), {"q": f" {handle} "})) == [handle.jobid]


def test_a_search_for_a_number_finds_a_uniqkey_that_is_the_same(browser, client):
    handle = client.dispatch_async("Note", uniqkey="12345678")

    assert handles(browser.get(list_of(Job), {"q": "12345678"})) == [handle.jobid]


@pytest.mark.parametrize("search", ["default-1", "nowhere-1", "9" * 30, "9" * 5000, "-", "-1"])
def test_a_search_for_no_job_of_this_database_finds_none(browser, client, search):
    client.dispatch_async("Note")

    assert handles(browser.get(list_of(Job), {"q": search})) == []


def test_a_search_names_no_more_functions_than_a_statement_can_hold(browser, client, monkeypatch):
    monkeypatch.setattr("django_schwartz.admin.jobpage.FUNCTIONS", 1)
    client.dispatch_async("Slow", uniqkey="other")
    handle = client.dispatch_async("Note", uniqkey="user-7")

    assert handles(browser.get(list_of(Job), {"q": "user-7"})) == [handle.jobid]


def test_more_failures_than_are_counted_show_as_more(browser, client, error, monkeypatch):
    monkeypatch.setattr("django_schwartz.admin.jobs.ERRORS_COUNTED", 2)
    handle = client.dispatch_async("Note")
    for _ in range(3):
        error(jobid=handle.jobid)

    [row] = cells(browser.get(list_of(Job)))

    assert row["failures"] == "2+"


def test_a_long_list_counts_to_its_limit_and_says_so(browser, client, monkeypatch):
    monkeypatch.setattr(pages, "COUNTED", 2)
    for _ in range(3):
        client.dispatch_async("Note")

    response = browser.get(list_of(Job))

    assert response.context["cl"].result_count == 2
    assert "of 2+: a filter or a search leads to the others" in response.content.decode()


def test_a_list_at_its_limit_says_nothing(browser, client, monkeypatch):
    monkeypatch.setattr(pages, "COUNTED", 2)
    client.dispatch_async("Note")
    client.dispatch_async("Note")

    assert "leads to the others" not in browser.get(list_of(Job)).content.decode()


# Exit statuses


def test_an_exit_status_is_a_word_and_a_number(browser, exit_status):
    exit_status(1, status=0, runtime=1.5)
    exit_status(2, status=67)

    failed, completed = cells(browser.get(list_of(ExitStatus)))

    assert (failed["outcome"], failed["seconds"]) == ("failed 67", "-")
    assert (completed["outcome"], completed["seconds"]) == ("completed 0", "1.500 s")


@pytest.mark.parametrize(
    ("narrowing", "found"),
    [
        ({"outcome": "completed"}, [1]),
        ({"outcome": "failed"}, [3, 2]),
        ({"outcome": "neither"}, [3, 2, 1]),
        ({"q": "2"}, [2]),
        ({"q": "key-*"}, [3, 2]),
        ({"q": "key-2"}, [2]),
    ],
)
def test_exit_statuses_are_narrowed_and_searched(browser, exit_status, narrowing, found):
    exit_status(1, status=0)
    exit_status(2, status=1, uniqkey="key-2")
    exit_status(3, status=-1, uniqkey="key-3")

    assert handles(browser.get(list_of(ExitStatus), narrowing)) == found


def test_exit_statuses_are_narrowed_by_their_function(browser, exit_status):
    exit_status(1)
    other = exit_status(2, funcname="Slow")

    assert handles(browser.get(list_of(ExitStatus), {"function": other.func_id})) == [2]


# Errors


def test_the_newest_error_is_first_with_the_first_line_of_its_message(browser, error):
    error("old", error_time=1)
    error("new\nand more")

    new, old = cells(browser.get(list_of(Error)))

    assert (new["summary"], old["summary"]) == ("new", "old")


def test_an_error_leads_to_its_job_or_to_how_that_ended(
    browser, client, database, error, exit_status
):
    queued = client.dispatch_async("Note")
    ended = exit_status(queued.jobid + 1)
    gone = queued.jobid + 2
    for jobid in (queued.jobid, ended.jobid, gone):
        error(jobid=jobid)

    content = browser.get(list_of(Error)).content.decode()

    assert f'<a href="{page_of(Job, queued.jobid)}">{queued}</a>' in content
    assert f'<a href="{page_of(ExitStatus, ended.jobid)}">{database}-{ended.jobid}</a>' in content
    assert f"{database}-{gone}<" in content
    assert f"/{gone}/" not in content


def test_errors_are_found_by_the_words_of_message_and_exception(browser, error):
    error("Host mx1 is away", exception="builtins.TimeoutError")
    error("Host mx2 is away", exception="builtins.ValueError")
    error("Done for today")

    response = browser.get(list_of(Error), {"q": "timeouterror away"})

    assert [row["summary"] for row in cells(response)] == ["Host mx1 is away"]


def test_errors_are_found_by_the_handle_of_their_job(browser, database, error):
    error("mine", jobid=41)
    error("of another, about 41", jobid=42)

    response = browser.get(list_of(Error), {"q": f"{database}-41"})

    assert [row["summary"] for row in cells(response)] == ["mine"]


def test_words_are_looked_for_in_the_latest_errors_of_the_function(browser, error, monkeypatch):
    monkeypatch.setattr("django_schwartz.admin.history.LATEST", 2)
    for second in (1, 2, 3):
        error(f"timeout {second}", error_time=second)
        error(f"other timeout {second}", error_time=10 + second, funcname="Slow")
    funcid = FuncMap.objects.get(funcname="Note").pk

    response = browser.get(list_of(Error), {"q": "timeout", "function": funcid})

    assert [row["summary"] for row in cells(response)] == ["timeout 3", "timeout 2"]


def test_errors_are_counted_by_function_and_exception(browser, error):
    for _ in range(3):
        error(exception="builtins.ValueError")
    for _ in range(2):
        error(funcname="Slow")
    error(exception="smtplib.SMTPException")

    [_, group] = browser.get(list_of(Error)).context["cl"].filter_specs

    assert [label for _, label in group.lookup_choices] == [
        "Note: ValueError (3)",
        "Slow: no exception (2)",
        "Note: SMTPException (1)",
    ]


def test_a_group_has_as_many_errors_as_it_says(browser, error):
    error("first", exception="builtins.ValueError")
    error("second", exception="builtins.ValueError")
    error("in words")
    error("of another", exception="builtins.ValueError", funcname="Slow")
    groups = {
        label: value
        for value, label in browser.get(list_of(Error)).context["cl"].filter_specs[1].lookup_choices
    }

    errors = browser.get(list_of(Error), {"group": groups["Note: ValueError (2)"]})
    told = browser.get(list_of(Error), {"group": groups["Note: no exception (1)"]})

    assert [row["summary"] for row in cells(errors)] == ["second", "first"]
    assert [row["summary"] for row in cells(told)] == ["in words"]


@pytest.mark.parametrize("group", ["x", "1", ":", "x:y", "9" * 30 + ":x"])
def test_a_group_that_is_none_finds_nothing(browser, error, group):
    error(exception="builtins.ValueError")

    assert cells(browser.get(list_of(Error), {"group": group})) == []


def test_errors_of_a_function_that_has_no_row_are_shown(browser, error):
    Error.objects.filter(pk=error().pk).update(func_id=12345)

    [row] = cells(browser.get(list_of(Error)))

    assert row["function"] == "funcid 12345"


# Functions


def test_a_function_names_its_worker_and_counts_its_jobs(browser, client):
    client.dispatch_async("Note")
    client.dispatch_async("Perl::Worker")
    client.dispatch_async("Perl::Worker", run_after=timedelta(hours=1))

    rows = {row["funcname"]: row for row in cells(browser.get(list_of(FuncMap)))}

    assert rows["Note"]["worker"] == "tests.app.workers.Note"
    assert rows["Note"]["queued"] == "1"
    assert rows["Perl::Worker"]["worker"] == "-"
    assert rows["Perl::Worker"]["queued"] == "2"
    assert rows["Slow"]["queued"] == "0"


def test_the_jobs_of_a_function_are_counted_to_a_limit(browser, client):
    client.dispatch_jobs([Job(funcname="Note") for _ in range(1001)])
    client.dispatch_jobs([Job(funcname="Slow") for _ in range(999)])

    rows = {row["funcname"]: row for row in cells(browser.get(list_of(FuncMap)))}

    assert rows["Note"]["queued"] == "1,000+"
    assert rows["Slow"]["queued"] == "999"


def test_a_function_leads_to_its_rows(browser, client, error, exit_status):
    handle = client.dispatch_async("Note")
    error(jobid=handle.jobid)
    exit_status(handle.jobid)
    funcid = handle.job.funcid

    content = browser.get(list_of(FuncMap)).content.decode()

    for model in (Job, Error, ExitStatus):
        address = f"{list_of(model)}?function={funcid}"
        assert f'<a href="{address}">' in content
        assert handles(browser.get(address)) == [handle.jobid]
