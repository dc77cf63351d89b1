"""Every sentence of TheSchwartz::Job's manual page, in its order, and a test that it is true here.

Each docstring names the sentence by the page's section and subject, and says it in our words.
"""

import logging

import pytest
from django.db import connections, models, transaction

from django_schwartz import Worker, register
from django_schwartz.client import JobHandle, TheSchwartz
from django_schwartz.dialects import ServerTime
from django_schwartz.exceptions import DuplicateJob
from django_schwartz.fields import unix_seconds
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from tests.rows import come_due, end_lease


@pytest.fixture
def performed():
    """The args of the jobs that MyWorker performed."""
    return []


@pytest.fixture(autouse=True)
def _workers(performed):
    @register
    class MyWorker(Worker):
        max_retries = 1
        retry_delay = 60
        keep_exit_status_for = 600
        grab_for = 600

        def work(self, job):
            performed.append(job.arg)
            job.completed()


@pytest.fixture
def job(client):
    """A job of MyWorker that its worker holds."""
    client.dispatch_async("MyWorker", {"foo": "bar"})
    return client.find_job_for_workers(["MyWorker"])


# SYNOPSIS


def test_a_client_is_made_of_databases(database):
    """SYNOPSIS, first line: a client is given the databases that hold its queue."""
    client = TheSchwartz(databases=[database])

    assert client.dispatch_async("MyWorker").alias == database


def test_a_job_made_of_a_name_and_an_arg_is_dispatched(client):
    """SYNOPSIS, first job: a job from new_from_array can be dispatched."""
    job = Job.new_from_array("MyWorker", {"foo": "bar"})

    handle = client.dispatch_async(job)

    assert handle.job.funcname == "MyWorker"
    assert handle.job.arg == {"foo": "bar"}


def test_a_job_made_of_named_fields_is_dispatched(client):
    """SYNOPSIS, second job: one with funcname, uniqkey and arg can be dispatched."""
    job = Job(funcname="MyWorker", uniqkey=7, arg=["foo", "bar"])

    handle = client.dispatch_async(job)

    assert handle.job.funcname == "MyWorker"
    assert handle.job.uniqkey == "7"
    assert handle.job.arg == ["foo", "bar"]


# DESCRIPTION


def test_a_job_is_posted_then_grabbed_then_performed(client, dialect, performed):
    """DESCRIPTION, first sentence: an application posts a job, a worker grabs and performs it."""
    client.dispatch_async("MyWorker", "posted")

    client.work_once(client.find_job_for_workers(["MyWorker"]))

    assert performed == ["posted"]


def test_a_job_is_an_instance_of_a_model_class(client):
    """DESCRIPTION, second sentence: a job is an object of the ORM. Ours is Django's."""
    handle = client.dispatch_async("MyWorker")

    assert issubclass(Job, models.Model)
    assert Job.objects.get(pk=handle.jobid) == handle.job


# FIELDS


@pytest.mark.parametrize(
    "field",
    [
        *("jobid", "funcid", "arg", "uniqkey", "insert_time"),
        *("run_after", "grabbed_until", "priority", "coalesce"),
    ],
)
def test_a_job_has_the_fields_of_the_page(job, field):
    """FIELDS, opening: these are the columns of a job, and attributes of a Job."""
    with connections[job.alias].cursor() as cursor:
        columns = connections[job.alias].introspection.get_table_description(
            cursor, "django_schwartz_job"
        )

    assert field in [column.name for column in columns]
    assert hasattr(job, field)


def test_no_two_jobs_have_the_same_jobid(client):
    """FIELDS, jobid, first: it is a number that identifies the job."""
    handles = client.dispatch_jobs([Job(funcname="MyWorker"), Job(funcname="MyWorker")])

    assert handles[0].jobid != handles[1].jobid
    assert Job.objects.get(pk=handles[0].jobid).handle == handles[0]


def test_the_jobid_is_set_when_the_job_is_stored(client):
    """FIELDS, jobid, second: nobody has to give it; storing the job does."""
    job = Job(funcname="MyWorker")
    before = job.jobid

    client.dispatch_async(job)

    assert before is None
    assert isinstance(job.jobid, int)


def test_the_funcid_tells_the_kinds_of_job_apart(client):
    """FIELDS, funcid, first: a number for the type of job."""
    one, same, other = client.dispatch_jobs(
        [Job(funcname="MyWorker"), Job(funcname="MyWorker"), Job(funcname="Other")]
    )

    assert one.job.funcid == same.job.funcid
    assert one.job.funcid != other.job.funcid


def test_the_name_of_a_function_is_found_by_its_funcid(client):
    """FIELDS, funcid, second: FuncMap rows map function names to the numbers."""
    handle = client.dispatch_async("Brand new")

    row = FuncMap.objects.get(funcname="Brand new")

    assert handle.job.funcid == row.funcid
    assert handle.job.funcname == "Brand new"


def test_the_arg_is_what_the_worker_gets(client, performed):
    """FIELDS, arg, first: any data that the worker needs to perform the job."""
    client.dispatch_async("MyWorker", {"to": ["a@example.org"], "times": 3})

    client.work_once(client.find_job_for_workers(["MyWorker"]))

    assert performed == [{"to": ["a@example.org"], "times": 3}]


def test_a_structured_arg_is_frozen_to_bytes(client, database):
    """FIELDS, arg, second: a reference is stored as a blob. Ours is JSON unless the worker says."""
    client.dispatch_async("MyWorker", {"a": [1]})

    assert stored_arg(database) == b'{"a":[1]}'


def test_a_structured_arg_is_frozen_as_perls_storable_where_the_worker_says_so(client, database):
    """FIELDS, arg, second: the blob is one that Perl's Storable reads."""

    @register
    class PerlWorker(Worker):
        arg_format = "storable"

    handle = client.dispatch_async("PerlWorker", {"a": 1})

    assert stored_arg(database)[:1] == b"\x05"
    assert handle.job.arg == {"a": 1}


def stored_arg(database):
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT arg FROM django_schwartz_job")
        return bytes(cursor.fetchone()[0])


def test_the_uniqkey_prevents_duplicates(client, dialect):
    """FIELDS, uniqkey, first: any text, by which a job that is posted twice is queued once."""
    first = client.dispatch_async("MyWorker", uniqkey="any text")

    second = client.dispatch_async("MyWorker", uniqkey="any text")

    assert second == first
    assert Job.objects.count() == 1


def test_the_uniqkey_holds_for_a_database(two_databases):
    """FIELDS, uniqkey, second: at most one job with the same value in a single database."""
    client = TheSchwartz()

    handles = [
        client.dispatch_async("MyWorker", uniqkey="7", using=alias)
        for alias in two_databases + two_databases
    ]

    assert [handle.is_duplicate for handle in handles] == [False, False, True, True]


def test_the_insert_time_is_not_used(client, dialect):
    """FIELDS, insert_time: it decides nothing; a job from the future is grabbed."""
    client.dispatch_async("MyWorker")
    Job.objects.update(insert_time=ServerTime() + 3600)

    assert client.find_job_for_workers(["MyWorker"]) is not None


def test_a_job_is_not_attempted_before_run_after(client, dialect):
    """FIELDS, run_after, first: the UNIX time from which a worker may attempt the job."""
    handle = client.dispatch_async("MyWorker", run_after=client.get_server_time() + 3600)

    too_early = client.find_job_for_workers(["MyWorker"])
    come_due(handle)
    in_time = client.find_job_for_workers(["MyWorker"])

    assert too_early is None
    assert in_time.handle == handle


def test_run_after_is_set_when_the_job_is_created(client):
    """FIELDS, run_after, second, first half: a new job's is the time of its creation."""
    before = client.get_server_time()

    handle = client.dispatch_async("MyWorker")

    assert before <= unix_seconds(handle.job.run_after) <= client.get_server_time()


def test_run_after_is_set_when_the_job_is_released_after_a_failure(client, job):
    """FIELDS, run_after, second, second half: a failure sets it to the time of the retry."""
    before = client.get_server_time()

    job.failed("try again")

    after = client.get_server_time()
    assert before + 60 <= unix_seconds(job.handle.job.run_after) <= after + 61


def test_a_job_is_not_available_before_grabbed_until(client, dialect):
    """FIELDS, grabbed_until, first: the UNIX time from which the job is available again."""
    handle = client.dispatch_async("MyWorker")
    client.find_job_for_workers(["MyWorker"])

    while_held = client.find_job_for_workers(["MyWorker"])
    end_lease(handle)
    afterwards = client.find_job_for_workers(["MyWorker"])

    assert while_held is None
    assert afterwards.handle == handle


def test_grabbed_until_is_set_when_the_job_is_grabbed(client, dialect):
    """FIELDS, grabbed_until, second, first half: a grab sets it, by the worker's grab_for."""
    handle = client.dispatch_async("MyWorker")
    before = client.get_server_time()

    client.find_job_for_workers(["MyWorker"])

    after = client.get_server_time()
    assert before + 600 <= unix_seconds(handle.job.grabbed_until) <= after + 600


def test_grabbed_until_is_0_again_after_a_failure(job):
    """FIELDS, grabbed_until, second, second half: the release after a failure resets it to 0."""
    job.failed("try again")

    assert Job.objects.filter(pk=job.pk, grabbed_until=0).exists()
    assert job.grabbed_until is None


def test_the_priority_is_not_used_by_a_client_that_does_not_prioritize(client, dialect):
    """FIELDS, priority: not used. So it is here where a client says prioritize=False."""
    first, _ = client.dispatch_jobs(
        [Job(funcname="MyWorker", priority=1), Job(funcname="MyWorker", priority=9)]
    )

    grabbed = TheSchwartz(prioritize=False).find_job_for_workers(["MyWorker"])

    assert grabbed.handle == first


def test_coalesce_finds_the_jobs_that_share_a_resource(client, dialect):
    """FIELDS, coalesce, first: a text by which jobs that go well with a given one are found."""
    client.dispatch_async("MyWorker", coalesce="other")
    shared = client.dispatch_async("MyWorker", coalesce="shared")

    found = client.find_job_with_coalescing_value("MyWorker", "shared")

    assert found.handle == shared
    assert client.find_job_with_coalescing_value("MyWorker", "shared") is None


def test_a_mails_domain_can_be_its_coalesce_value(client):
    """FIELDS, coalesce, second: for mail, the domain of the address, say."""
    handles = client.dispatch_jobs(
        [
            Job(funcname="MyWorker", arg=address, coalesce=address.partition("@")[2])
            for address in ("a@example.org", "b@example.com", "c@example.org")
        ]
    )

    listed = client.list_jobs("MyWorker", coalesce="example.org")

    assert sorted(job.jobid for job in listed) == [handles[0].jobid, handles[2].jobid]


def test_a_worker_delivers_all_the_mail_of_a_host_over_one_connection(client):
    """FIELDS, coalesce, third: one performance can do all jobs that have the value."""
    connections_made = []

    @register
    class Deliver(Worker):
        def work(self, job):
            sent = []
            connections_made.append((job.coalesce, sent))
            while job:
                sent.append(job.arg)
                job.completed()
                job = client.find_job_with_coalescing_value("Deliver", job.coalesce)

    client.dispatch_jobs(
        [Job(funcname="Deliver", arg=n, coalesce=host) for n, host in enumerate("abaab")]
    )
    client.can_do("Deliver")

    client.work_until_done()

    assert connections_made == [("a", [0, 2, 3]), ("b", [1, 4])]


# USAGE


def test_a_new_job_has_the_data_that_it_is_given():
    """USAGE, new, first: it gives a job with the data."""
    job = Job(funcname="MyWorker", arg={"a": 1}, coalesce="c")

    assert (job.funcname, job.arg, job.coalesce) == ("MyWorker", {"a": 1}, "c")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jobid", 4711),
        ("funcid", 5),
        ("funcname", "MyWorker"),
        ("arg", [1]),
        ("uniqkey", "7"),
        ("insert_time", 1_700_000_000),
        ("run_after", 1_700_000_000),
        ("grabbed_until", 1_700_000_000),
        ("priority", 3),
        ("coalesce", "c"),
    ],
)
def test_a_new_job_takes_every_field_and_funcname(field, value):
    """USAGE, new, second: its arguments are the fields, and funcname."""
    job = Job(**{field: value})

    assert getattr(job, field) == value


def test_a_new_job_takes_no_other_argument():
    """USAGE, new, second: what is no field is refused."""
    with pytest.raises(TypeError, match="funktion"):
        Job(funktion="MyWorker")


def test_new_from_array_takes_a_function_name():
    """USAGE, new_from_array, first half: the job has the function name."""
    assert Job.new_from_array("MyWorker", None).funcname == "MyWorker"


@pytest.mark.parametrize("arg", ["scalar", {"a": 1}, [1, 2]])
def test_new_from_array_takes_a_scalar_or_a_structure(arg):
    """USAGE, new_from_array, second half: and the arg, plain or structured."""
    assert Job.new_from_array("MyWorker", arg).arg == arg


def test_the_funcname_can_be_asked_for(client):
    """USAGE, funcname, first half: it is the name of the job's function."""
    assert client.dispatch_async("MyWorker").job.funcname == "MyWorker"


def test_the_funcname_can_be_set(client):
    """USAGE, funcname, second half: one that is set is the job's from then on."""
    job = Job(funcname="MyWorker")

    job.funcname = "Other"

    assert job.funcname == "Other"
    assert client.dispatch_async(job).job.funcname == "Other"


def test_the_handle_can_be_asked_for(client, database):
    """USAGE, handle, first half: it is the JobHandle of the job."""
    job = Job(funcname="MyWorker")

    client.dispatch_async(job)

    assert job.handle == JobHandle(database, job.jobid)


def test_the_handle_can_be_set(client, database):
    """USAGE, handle, second half: one that is set is the job's from then on."""
    job = Job(funcname="MyWorker")

    job.handle = JobHandle(database, 4711)

    assert job.handle == JobHandle(database, 4711)
    assert job.jobid == 4711


def test_the_handle_gives_the_other_records_of_the_job(job):
    """USAGE, handle, next sentence, first half: it is the way to what belongs to a job."""
    handle = job.handle
    job.failed("once")

    assert handle.job == job
    assert handle.failures == 1
    assert handle.failure_log == ["once"]
    assert handle.exit_status is None


def test_the_job_gives_them_itself(job):
    """USAGE, handle, next sentence, second half: the job has the same methods."""
    job.failed("once")

    assert job.failures == 1
    assert job.failure_log == ["once"]
    assert job.exit_status is None


def test_the_driver_accesses_the_database_of_the_job(two_databases):
    """USAGE, driver: it is the connection to the database that the job is stored in."""
    client = TheSchwartz()
    jobs = [client.dispatch_async("MyWorker", using=alias).job for alias in two_databases]

    drivers = [job.driver for job in jobs]

    assert drivers == [connections["sqlite"], connections["postgresql"]]


def test_add_failure_records_an_error_and_gives_it(job):
    """USAGE, add_failure: it stores an Error with the reason, and returns it."""
    error = job.add_failure("disk full")

    assert isinstance(error, Error)
    assert Error.objects.get() == error
    assert (error.jobid, error.func_id, error.message) == (job.jobid, job.funcid, "disk full")


def test_the_exit_status_of_a_completed_job_is_the_workers(job):
    """USAGE, exit_status, first: the status of a job that was completed."""
    job.completed()

    assert job.exit_status == 0


def test_the_exit_status_of_a_failed_job_is_the_workers(job):
    """USAGE, exit_status, first: the status of a job that was declared failed for good."""
    job.permanent_failure("no such user", 67)

    assert job.exit_status == 67


def test_the_exit_status_is_there_after_the_job_has_left_the_queue(client, job):
    """USAGE, exit_status, second: it is available for some time afterwards."""
    job.completed()

    handle = client.handle_from_string(str(job.handle))

    assert handle.job is None
    assert handle.exit_status == 0


def test_the_worker_class_says_how_long_the_exit_status_is_kept(client, job):
    """USAGE, exit_status, third: that time is the class's keep_exit_status_for."""
    before = client.get_server_time()

    job.completed()

    after = client.get_server_time()
    delete_after = unix_seconds(ExitStatus.objects.get().delete_after)
    assert before + 600 <= delete_after <= after + 600


def test_a_worker_class_that_says_nothing_keeps_no_exit_status(client):
    """USAGE, exit_status, third: by default the class keeps it for no time at all."""

    @register
    class Forgetful(Worker):
        pass

    client.dispatch_async("Forgetful")

    client.find_job_for_workers(["Forgetful"]).completed()

    assert not ExitStatus.objects.exists()


def test_the_failure_log_lists_the_messages(job):
    """USAGE, failure_log: the messages given to add_failure, in the order they came."""
    job.add_failure("first")
    job.add_failure("second")

    assert job.failure_log == ["first", "second"]


def test_failures_counts_the_grabs_that_did_not_complete_the_job(client):
    """USAGE, failures: how often a worker had the job and failed to complete it."""

    @register
    class Fail(Worker):
        max_retries = 2

        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Fail")
    client.can_do("Fail")

    client.work_once()
    client.work_once()

    assert handle.job.failures == 2


def test_set_exit_status_records_the_status(job):
    """USAGE, set_exit_status: it stores the status of the job."""
    job.set_exit_status(42)

    assert ExitStatus.objects.get(pk=job.jobid).status == 42
    assert job.exit_status == 42


@pytest.mark.parametrize("verdict", ["completed", "failed", "permanent_failure", "replace_with"])
def test_did_something_tells_of_a_verdict(job, verdict):
    """USAGE, did_something, first half: whether the job was completed or failed since loaded."""
    before = job.did_something

    getattr(job, verdict)()

    assert before is False
    assert job.did_something is True


def test_did_something_is_about_this_object_since_it_was_loaded(job):
    """USAGE, did_something, first half: the same job, loaded again, has no verdict yet."""
    job.failed("once")

    assert job.handle.job.did_something is False


def test_did_something_can_be_set(job):
    """USAGE, did_something, second half: one that is set holds, and another verdict is refused."""
    job.did_something = True

    assert job.did_something is True
    assert job.completed() is False


def test_debug_sends_a_message_to_the_client(database):
    """USAGE, debug: the client of the job gets the message as debug output."""
    said = []
    client = TheSchwartz(verbose=lambda message, job: said.append((message, job)))
    client.dispatch_async("MyWorker")
    job = client.find_job_for_workers(["MyWorker"])

    job.debug("half way")

    assert said == [("half way", job)]


def test_debug_of_a_job_without_a_client_is_logged(client, caplog):
    """USAGE, debug: a job that no client loaded says it to the log."""
    job = client.dispatch_async("MyWorker").job

    with caplog.at_level(logging.DEBUG, logger="django_schwartz"):
        job.debug("half way")

    assert caplog.messages == [f"MyWorker {job.handle}: half way"]


def test_set_as_current_makes_it_the_job_being_performed(client, job):
    """USAGE, set_as_current: it is the client's current job from then on."""
    current = []

    @register
    class Switch(Worker):
        def work(self, own):
            job.set_as_current()
            current.append(client.current_job)
            own.completed()

    client.dispatch_async("Switch")
    client.can_do("Switch")

    client.work_once()

    assert current == [job]


# WORKING


def test_a_worker_updates_the_status_of_its_job(client):
    """WORKING, opening: a worker class says by these methods how it went."""

    @register
    class Say(Worker):
        keep_exit_status_for = 600

        def work(self, job):
            getattr(job, job.arg)()

    said = [
        client.dispatch_async("Say", verb)
        for verb in ("completed", "failed", "permanent_failure", "replace_with")
    ]
    client.can_do("Say")

    client.work_until_done()

    assert [handle.exit_status for handle in said] == [0, 1, 1, 0]


def test_a_completed_job_leaves_the_queue(job):
    """WORKING, completed, first: the job was performed, and is removed."""
    job.completed()

    assert not Job.objects.exists()
    assert not Error.objects.exists()


def test_a_completed_job_has_exit_status_0(job):
    """WORKING, completed, second: that is recorded as exit status 0."""
    job.completed()

    assert ExitStatus.objects.get(pk=job.jobid).status == 0


def test_failed_records_the_reason(job):
    """WORKING, failed, first: the worker could not complete the job, for that reason."""
    job.failed("connection refused")

    assert Error.objects.get(jobid=job.jobid).message == "connection refused"


def test_a_job_with_retries_left_is_attempted_again_after_the_delay(client, job):
    """WORKING, failed, second paragraph, first: until max_retries is exceeded it is retried."""
    job.failed("once")

    at_once = client.find_job_for_workers(["MyWorker"])
    come_due(job.handle)
    after_the_delay = client.find_job_for_workers(["MyWorker"])

    assert at_once is None
    assert after_the_delay == job


@pytest.mark.parametrize(("retries", "delay"), [(0, 0), (1, 0), (3, 100)])
def test_the_worker_class_says_how_many_retries_and_when(client, retries, delay):
    """WORKING, failed, second paragraph, second: by max_retries and retry_delay."""

    @register
    class Fail(Worker):
        max_retries = retries
        retry_delay = delay

        def work(self, job):
            job.failed()

    handle = client.dispatch_async("Fail")
    client.can_do("Fail")

    for _ in range(retries):
        client.work_once()
        wait = unix_seconds(handle.job.run_after) - client.get_server_time()
        come_due(handle)
        assert delay - 5 <= wait <= delay + 1
    client.work_once()

    assert handle.job is None
    assert handle.failures == retries + 1


def test_a_job_without_retries_left_leaves_the_queue_with_the_exit_status(client, job):
    """WORKING, failed, third paragraph, first: the status is recorded, the job removed."""
    job.failed("once")
    come_due(job.handle)
    again = client.find_job_for_workers(["MyWorker"])

    again.failed("twice", 75)

    assert job.handle.job is None
    assert job.exit_status == 75


@pytest.mark.parametrize("exit_status", [(), (None,), (0,)])
def test_a_failed_job_without_an_exit_status_has_1(client, job, exit_status):
    """WORKING, failed, third paragraph, second: no status, or 0, is recorded as 1."""
    job.failed("once")
    come_due(job.handle)
    again = client.find_job_for_workers(["MyWorker"])

    again.failed("twice", *exit_status)

    assert job.exit_status == 1


def test_a_permanent_failure_records_the_reason(job):
    """WORKING, permanent_failure, first: it is a failure, as failed() records it."""
    job.permanent_failure("no such user")

    assert job.failure_log == ["no such user"]
    assert job.failures == 1


def test_a_permanent_failure_is_not_attempted_again(job):
    """WORKING, permanent_failure, first: however few attempts there were."""
    job.permanent_failure("no such user")

    assert job.handle.job is None


@pytest.mark.parametrize(("given", "recorded"), [((67,), 67), ((0,), 1), ((None,), 1), ((), 1)])
def test_a_permanent_failure_has_the_exit_status_or_1(job, given, recorded):
    """WORKING, permanent_failure, second: the status is recorded, or 1, and the job removed."""
    job.permanent_failure("no such user", *given)

    assert job.exit_status == recorded
    assert not Job.objects.exists()


def test_a_job_is_replaced_by_a_set_of_jobs(job):
    """WORKING, replace_with, first: the given jobs are queued in the place of this one."""
    job.replace_with(Job(funcname="MyWorker", arg="a"), Job(funcname="MyWorker", arg="b"))

    assert [row.arg for row in Job.objects.order_by("pk")] == ["a", "b"]


def test_a_replacement_is_atomic(client, job):
    """WORKING, replace_with, first: all of it happens, or nothing."""
    client.dispatch_async("Other", uniqkey="taken")

    with pytest.raises(DuplicateJob):
        job.replace_with(Job(funcname="Other"), Job(funcname="Other", uniqkey="taken"))

    assert job.handle.is_pending
    assert len(client.list_jobs("Other")) == 1


def test_a_metajob_is_decomposed_into_jobs_that_workers_perform(client, performed):
    """WORKING, replace_with, last, first half: one job that was posted becomes many."""

    @register
    class Broadcast(Worker):
        def work(self, job):
            job.replace_with(*[Job(funcname="MyWorker", arg=to) for to in job.arg])

    client.dispatch_async("Broadcast", ["a", "b", "c"])
    client.can_do("Broadcast")
    client.can_do("MyWorker")

    client.work_until_done()

    assert performed == ["a", "b", "c"]


def test_a_job_posts_what_is_left_to_do_of_it(client, performed):
    """WORKING, replace_with, last, second half: a job partly done is replaced by the rest."""

    @register
    class Begin(Worker):
        def work(self, job):
            performed.append("first half")
            job.replace_with(Job(funcname="MyWorker", arg="second half"))

    client.dispatch_async("Begin")
    client.can_do("Begin")
    client.can_do("MyWorker")

    client.work_until_done()

    assert performed == ["first half", "second half"]


# RELATED


def test_what_an_orm_does_works_on_jobs(client, database):
    """RELATED, the ORM: jobs are queried, and take part in transactions, as any model does."""
    client.dispatch_async("MyWorker", coalesce="a")

    with transaction.atomic(using=database):
        Job.objects.filter(coalesce="a").update(coalesce="b")
        transaction.set_rollback(True, using=database)

    assert Job.objects.get().coalesce == "a"


def test_an_arg_that_perl_froze_is_read(client):
    """RELATED, Storable: what it wrote is read as the data that it is."""
    client.dispatch_async(
        Job(funcname="MyWorker", arg=bytes.fromhex("050b0300000001088100000001") + b"a")
    )

    assert Job.objects.get().arg == {"a": 1}
