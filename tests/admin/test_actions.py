"""What can be done by hand: have a job run now, cancel it, dispatch a failed one again."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from django_schwartz import Worker, register
from django_schwartz.admin import jobpage
from django_schwartz.admin.jobs import hasten, withdraw
from django_schwartz.models import Error, ExitStatus, FuncMap, Job, JobHandle
from django_schwartz.models.arg import stored_arg
from django_schwartz.storable import freeze
from tests.admin.conftest import list_of, told
from tests.rows import end_lease, lease_elsewhere, row_of


def act(browser, model, action, *jobids, **more):
    """Do an action to rows, as a list's form does."""
    data = {"action": action, "_selected_action": jobids, **more}
    return browser.post(list_of(model), data, follow=True)


def run_now(browser, *handles):
    return told(act(browser, Job, "run_now", *(handle.jobid for handle in handles)))


def cancel(browser, *handles):
    jobids = [handle.jobid for handle in handles]
    return told(act(browser, Job, "cancel", *jobids, confirmed="yes"))


def dispatch_again(browser, *rows):
    return told(act(browser, ExitStatus, "dispatch_again", *(row.jobid for row in rows)))


def log():
    return [(entry.object_repr, entry.change_message) for entry in LogEntry.objects.order_by("pk")]


# Run now


def test_a_delayed_job_is_made_due(browser, client):
    client.can_do("Note")
    handle = client.dispatch_async("Note", run_after=timedelta(hours=1))

    assert run_now(browser, handle) == [f"Made due: {handle}."]

    assert client.find_job_for_workers().handle == handle
    assert log() == [(f"Note {handle}", "Run now.")]


def test_a_job_that_is_due_keeps_its_place_in_the_queue(browser, client):
    handle = client.dispatch_async("Note")
    Job.objects.update(run_after=1000)
    before = row_of(handle)

    assert run_now(browser, handle) == [
        "1 job was left alone: due already, held by a worker, or gone."
    ]

    assert row_of(handle) == before
    assert log() == []


def test_a_job_that_a_worker_holds_is_not_hastened(browser, client):
    handle = client.dispatch_async("Note", run_after=timedelta(hours=1))
    lease_elsewhere(handle)
    before = row_of(handle)

    run_now(browser, handle)

    assert row_of(handle) == before


def test_a_job_grabbed_since_it_was_read_is_not_hastened(client):
    handle = client.dispatch_async("Note", run_after=timedelta(hours=1))
    job = handle.job
    lease_elsewhere(handle)

    assert not hasten(job)
    assert row_of(handle)["run_after"] == job.run_after


# Cancel


def test_a_cancelled_job_leaves_the_queue_as_failed(browser, client):
    handle = client.dispatch_async("Note", {"n": 1}, uniqkey="user-7")

    assert cancel(browser, handle) == [f"Cancelled: {handle}."]

    assert row_of(handle) is None
    assert handle.exit_status == 1
    assert handle.failure_log == ["Cancelled by alice."]
    assert ExitStatus.objects.get().arg == {"n": 1}
    assert log() == [(f"Note {handle}", "Cancelled.")]


def test_who_held_a_job_before_is_not_blamed_for_its_cancellation(browser, client):
    handle = client.dispatch_async("Note")
    lease_elsewhere(handle)
    end_lease(handle)

    cancel(browser, handle)

    assert Error.objects.get().worker_id is None


def test_a_job_of_a_function_that_keeps_nothing_leaves_an_error(browser, client):
    handle = client.dispatch_async("Perl::Worker")

    cancel(browser, handle)

    assert row_of(handle) is None
    assert handle.failure_log == ["Cancelled by alice."]


def test_nothing_is_cancelled_before_that_is_confirmed(browser, client):
    handle = client.dispatch_async("Note")

    response = act(browser, Job, "cancel", handle.jobid)

    assert "Cancel 1 job" in response.content.decode()
    assert str(handle) in response.content.decode()
    assert handle.is_pending


def test_many_jobs_are_not_all_named_before_they_are_cancelled(browser, client):
    handles = client.dispatch_jobs([Job(funcname="Note") for _ in range(22)])

    response = act(browser, Job, "cancel", *(handle.jobid for handle in handles))

    assert "and 2 more" in response.content.decode()
    assert response.content.decode().count('name="_selected_action"') == 22


def test_a_job_that_a_worker_holds_is_not_cancelled(browser, client):
    held, free = client.dispatch_async("Note"), client.dispatch_async("Note")
    lease_elsewhere(held)
    before = row_of(held)

    assert cancel(browser, held, free) == [
        f"Cancelled: {free}.",
        "1 job was left alone: held by a worker, or gone.",
    ]

    assert row_of(held) == before
    assert held.failures == 0


def test_a_job_whose_lease_ended_can_be_cancelled(browser, client):
    handle = client.dispatch_async("Note")
    end_lease(handle)

    cancel(browser, handle)

    assert not handle.is_pending


def test_a_job_grabbed_while_it_is_being_cancelled_stays(browser, client):
    handles = []

    @register
    class Race(Worker):
        def get_keep_exit_status_for(self):
            """Called between the read and the delete."""
            lease_elsewhere(handles[0])
            return 3600

    handles.append(client.dispatch_async("Race"))

    assert cancel(browser, *handles) == ["1 job was left alone: held by a worker, or gone."]

    assert row_of(handles[0])["grabbed_by"] == "elsewhere:1:1"
    assert (Error.objects.count(), ExitStatus.objects.count(), log()) == (0, 0, [])


def test_a_job_grabbed_and_released_since_it_was_read_is_not_cancelled(client):
    handle = client.dispatch_async("Note")
    job = handle.job
    lease_elsewhere(handle)
    Job.objects.update(grabbed_until=0)

    assert not withdraw(job, "Cancelled by alice.")
    assert handle.is_pending


# Dispatch again


def test_a_failed_job_is_dispatched_again_as_it_was(browser, client, database, exit_status):
    row = exit_status(
        7000,
        arg=freeze({"a": 1}),
        uniqkey="user-7",
        coalesce="example.org",
        priority=3,
        queue_name="mail",
        meta={"by": "hand"},
    )

    [message] = dispatch_again(browser, row)

    job = Job.objects.get()
    assert message == f"Dispatched again: {database}-7000 as {job.handle}."
    assert stored_arg(job) == freeze({"a": 1})
    assert (job.funcname, job.uniqkey, job.coalesce) == ("Note", "user-7", "example.org")
    assert (job.priority, job.queue_name, job.meta) == (3, "mail", {"by": "hand"})
    assert log() == [("7000 failed (1)", f"Dispatched again as {job.handle}.")]


def test_a_failed_job_is_not_dispatched_beside_its_duplicate(
    browser, client, database, exit_status
):
    handle = client.dispatch_async("Note", uniqkey="user-7")
    row = exit_status(7000, uniqkey="user-7")

    assert dispatch_again(browser, row) == [
        f"Not dispatched, as one with the uniqkey is queued already: {database}-7000 as {handle}."
    ]

    assert Job.objects.count() == 1
    assert log() == []


def test_a_job_that_completed_is_not_dispatched_again(browser, exit_status):
    row = exit_status(7000, status=0)

    assert dispatch_again(browser, row) == [
        "1 job was left alone: only what failed is dispatched again."
    ]

    assert not Job.objects.exists()


def test_a_job_of_which_only_the_end_is_known_is_not_dispatched_again(
    browser, database, exit_status
):
    """Perl's workers, and an outcome that the database refused, keep nothing more."""
    row = exit_status(7000, run_after=None)

    assert dispatch_again(browser, row) == [
        f"Not dispatched: {database}-7000 (nothing is known of it but how it ended)."
    ]

    assert not Job.objects.exists()


def test_a_job_of_a_function_without_a_row_is_not_dispatched_again(browser, exit_status):
    row = exit_status(7000)
    ExitStatus.objects.update(func_id=12345)
    functions = FuncMap.objects.count()

    [message] = dispatch_again(browser, row)

    assert message.startswith("Not dispatched: ")
    assert (Job.objects.count(), FuncMap.objects.count()) == (0, functions)


def test_a_job_that_can_not_be_dispatched_any_more_is_told_of(browser, settings, exit_status):
    row = exit_status(7000, arg=b"x" * 100)
    settings.SCHWARTZ = {**settings.SCHWARTZ, "MAX_ARG_BYTES": 50}

    [message] = dispatch_again(browser, row)

    assert "MAX_ARG_BYTES" in message
    assert not Job.objects.exists()


# All of them


@pytest.mark.parametrize("is_across", [True, False])
def test_an_action_is_done_to_a_bounded_number(browser, client, monkeypatch, is_across):
    monkeypatch.setattr(jobpage, "AT_A_TIME", 2)
    handles = client.dispatch_jobs([Job(funcname="Note") for _ in range(3)])
    jobids = [handle.jobid for handle in handles]

    response = act(
        browser, Job, "cancel", *jobids, confirmed="yes", select_across="1" if is_across else "0"
    )

    assert told(response) == [
        "This is done to 2 at a time: the first of them were taken.",
        f"Cancelled: {handles[2]}, {handles[1]}.",
    ]
    assert [job.jobid for job in Job.objects.all()] == [handles[0].jobid]


def test_what_was_done_to_many_is_told_in_one_sentence(browser, client):
    handles = client.dispatch_jobs([Job(funcname="Note") for _ in range(12)])

    [message] = cancel(browser, *handles)

    assert message.endswith(f"{handles[2]} and 2 more.")


def test_an_action_is_done_to_the_rows_that_the_filters_let_through(browser, client):
    note, slow = client.dispatch_async("Note"), client.dispatch_async("Slow")
    address = f"{list_of(Job)}?function={slow.job.funcid}"
    data = {"action": "cancel", "confirmed": "yes", "select_across": "1", "_selected_action": "0"}

    browser.post(address, data)

    assert (note.is_pending, slow.is_pending) == (True, False)


def test_an_action_on_a_job_that_is_gone_changes_nothing(browser, database):
    assert cancel(browser, JobHandle(database, 4711)) == []
    assert log() == []
