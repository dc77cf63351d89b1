"""What everything costs: how many statements, and that no number of jobs makes them more."""

from datetime import timedelta

import pytest
from django.db import transaction

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.dialects import ServerTime
from django_schwartz.models import Error, ExitStatus, FuncMap, Job
from django_schwartz.retention import purge
from django_schwartz.stats import nobody_can_do
from django_schwartz.worker import registry
from tests.rows import GRAB, LOOK, WAKE, statements


class Keep(Worker):
    keep_exit_status_for = 3600
    max_retries = 1

    def work(self, job):
        job.completed()


class Drop(Worker):
    max_retries = 1

    def work(self, job):
        job.completed()


@pytest.fixture(autouse=True)
def _workers(database):
    register(Keep)
    register(Drop)
    for worker in registry:
        FuncMap.objects.get_or_make(worker.funcname, using=database)


@pytest.fixture
def sent(database, patient):
    """What a call sends to the database: the first word of each statement."""

    def send(call):
        with statements(database) as words:
            call()
        return words

    return send


def work_of(words):
    """The statements that are not about the transaction."""
    return [word for word in words if word not in {"BEGIN", "COMMIT"}]


@pytest.fixture
def grabbed(client):
    """Dispatch a job and grab it."""

    def grab(worker, **fields):
        client.dispatch_async(worker.funcname, **fields)
        return client.find_job_for_workers([worker])

    return grab


# Dispatch


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"arg": {"to": "a@example.org"}},
        {"uniqkey": "7"},
        {"run_after": timedelta(hours=1)},
        {"jobid": 4711},
    ],
    ids=repr,
)
def test_a_dispatch_is_one_statement(client, sent, fields):
    assert sent(lambda: client.dispatch_async("Keep", **fields)) == ["INSERT"]


def test_the_first_dispatch_of_a_function_that_nobody_registered_makes_its_row(client, sent):
    words = sent(lambda: client.dispatch_async("Unheard"))

    assert work_of(words) == ["SELECT", "INSERT", "SELECT", "INSERT"]


def test_the_first_dispatch_of_a_process_reads_the_functions_row(client, database, sent):
    FuncMap.objects.forget(using=database)

    assert sent(lambda: client.dispatch_async("Keep")) == ["SELECT", "INSERT"]


def test_a_duplicate_is_two_statements(client, sent):
    client.dispatch_async("Keep", uniqkey="7")

    words = sent(lambda: client.dispatch_async("Keep", uniqkey="7"))

    # mysqlclient does not tell the text of a statement that failed.
    assert words in (["INSERT", "SELECT"], ["None", "SELECT"])


def test_a_dispatch_of_a_few_with_a_uniqkey_each_is_one_statement(client, sent):
    jobs = [Job(funcname="Keep", uniqkey=n) for n in range(2)]

    assert sent(lambda: client.dispatch_jobs(jobs)) == ["BEGIN", "INSERT", "COMMIT"]


def test_a_dispatch_of_many_with_a_uniqkey_each_is_two_statements_at_most(client, sent):
    jobs = [Job(funcname="Keep", uniqkey=n) for n in range(500)]

    words = sent(lambda: client.dispatch_jobs(jobs))

    assert words in (["BEGIN", "INSERT", "COMMIT"], ["BEGIN", "SELECT", "INSERT", "COMMIT"])


def test_a_dispatch_inside_a_transaction_is_one_statement(client, database, sent):
    with transaction.atomic(using=database):
        words = sent(lambda: client.dispatch_async("Keep", uniqkey="7"))

    assert words == ["INSERT"]


#: What inserts up to 1,000 jobs. PostgreSQL is asked for their numbers, and then takes them.
BULK = {"sqlite": ["INSERT"], "postgresql": ["SELECT", "COPY"], "mysql": ["INSERT"]}
UNIQUE_BULK = {"sqlite": ["INSERT"], "postgresql": ["SELECT", "INSERT"]}


def inserts(number, database):
    """The statements that insert so many jobs."""
    thousands, rest = divmod(number, 1000)
    return BULK[database] * thousands + (["INSERT"] if rest else [])


@pytest.mark.parametrize("number", [2, 10, 1000, 1001, 2002])
def test_a_dispatch_of_many_is_two_statements_for_each_thousand_in_one_transaction(
    client, database, sent, number
):
    jobs = [Job(funcname="Keep", arg=n) for n in range(number)]

    words = sent(lambda: client.dispatch_jobs(jobs))

    assert words == ["BEGIN", *inserts(number, database), "COMMIT"]


@pytest.mark.only_on("sqlite", "postgresql")  # MySQL looks for duplicates by halves
def test_a_dispatch_of_many_with_uniqkeys_is_two_statements_and_one_more_for_duplicates(
    client, database, sent
):
    def dispatch():
        client.dispatch_jobs(Job(funcname="Keep", uniqkey=n) for n in range(1000))

    first, again = sent(dispatch), sent(dispatch)

    assert work_of(first) == UNIQUE_BULK[database]
    assert work_of(again) == [*UNIQUE_BULK[database], "SELECT"]


def test_a_dispatch_of_one_by_dispatch_jobs_needs_no_transaction(client, sent):
    assert sent(lambda: client.dispatch_jobs([Job(funcname="Keep")])) == ["INSERT"]


def test_a_dispatch_of_no_jobs_sends_nothing(client, sent):
    assert sent(lambda: client.dispatch_jobs([])) == []


# Grab


@pytest.mark.parametrize("waiting", [1, 200])
def test_a_grab_takes_as_many_statements_whatever_waits(client, database, sent, waiting):
    client.dispatch_jobs([Job(funcname="Keep") for _ in range(waiting)])

    assert sent(lambda: client.find_job_for_workers(["Keep", "Drop"])) == GRAB[database]


def test_a_batch_is_grabbed_in_one_statement_but_on_mysql(client, database, sent):
    client.dispatch_jobs([Job(funcname="Keep") for _ in range(20)])
    lease = client.lease(["Keep"], database)
    grabbed = []

    words = sent(lambda: grabbed.extend(Job.objects.due().grab(lease, limit=20)))

    assert len(grabbed) == 20
    assert words == (["SELECT", *GRAB["mysql"][1:] * 20] if database == "mysql" else ["UPDATE"])


@pytest.mark.parametrize("dialect", ["portable"], indirect=True)
@pytest.mark.parametrize("waiting", [1, 40])
def test_a_portable_grab_is_three_statements(client, dialect, sent, waiting):
    client.dispatch_jobs([Job(funcname="Keep") for _ in range(waiting)])

    words = sent(lambda: client.find_job_for_workers(["Keep"]))

    assert words == ["SELECT", "UPDATE", "SELECT"]


def test_a_look_at_an_idle_queue_is_one_statement(client, dialect, sent):
    words = sent(lambda: client.find_job_for_workers(["Keep", "Drop"]))

    assert len(words) == 1


def test_a_look_without_an_ability_sends_nothing(client, sent):
    assert sent(client.find_job_for_workers) == []


def test_a_look_for_functions_that_have_no_row_asks_for_the_rows_alone(client, sent):
    assert sent(lambda: client.find_job_for_workers(["Unheard", "Unseen"])) == ["SELECT"]


def test_a_grab_along_a_coalesce_value_is_as_any(client, database, sent):
    client.dispatch_async("Keep", coalesce="example.org")

    by_value = sent(lambda: client.find_job_with_coalescing_value("Keep", "example.org"))
    client.dispatch_async("Keep", coalesce="example.org")
    by_prefix = sent(lambda: client.find_job_with_coalescing_prefix("Keep", "ex"))

    assert by_value == by_prefix == GRAB[database]


# Verdicts


def test_completing_a_job_whose_exit_status_is_not_kept(grabbed, sent):
    job = grabbed(Drop)

    assert sent(job.completed) == ["BEGIN", "DELETE", "COMMIT"]


def test_completing_a_job_whose_exit_status_is_kept(grabbed, sent):
    job = grabbed(Keep)

    assert sent(job.completed) == ["BEGIN", "DELETE", "INSERT", "COMMIT"]


def test_a_failure_that_will_be_retried(grabbed, sent, database):
    job = grabbed(Keep)

    words = sent(lambda: job.failed("no"))

    assert words == ["SELECT", "BEGIN", "UPDATE", "INSERT", "COMMIT", *WAKE[database]]


def test_a_failure_that_will_not_be_retried(grabbed, sent):
    job = grabbed(Keep)
    job.add_failure("the first")

    words = sent(lambda: job.failed("the second"))

    assert words == ["SELECT", "BEGIN", "DELETE", "INSERT", "INSERT", "COMMIT"]


def test_a_permanent_failure(grabbed, sent):
    job = grabbed(Drop)

    assert sent(lambda: job.permanent_failure("no")) == ["BEGIN", "DELETE", "INSERT", "COMMIT"]


def test_declining_until_a_time(grabbed, sent, database):
    job = grabbed(Keep)

    words = sent(lambda: job.declined(timedelta(hours=1)))

    assert words == ["BEGIN", "UPDATE", "COMMIT", *WAKE[database]]


def test_giving_a_job_back(grabbed, sent, database):
    job = grabbed(Keep)

    assert sent(job.give_back) == ["BEGIN", "UPDATE", "COMMIT", *WAKE[database]]


@pytest.mark.parametrize("children", [1, 10, 1000, 1001])
def test_replacing_a_job(grabbed, database, sent, children):
    job = grabbed(Drop)
    others = [Job(funcname="Drop") for _ in range(children)]

    words = sent(lambda: job.replace_with(*others))

    assert words == ["BEGIN", "DELETE", *inserts(children, database), "COMMIT"]


def test_a_verdict_inside_a_transaction_is_a_savepoint(grabbed, database, sent):
    job = grabbed(Drop)

    with transaction.atomic(using=database):
        words = sent(job.completed)

    assert words == ["SAVEPOINT", "DELETE", "RELEASE"]


def test_a_second_verdict_sends_nothing(grabbed, sent):
    job = grabbed(Keep)
    job.completed()

    assert sent(job.completed) == []


def test_performing_a_job_costs_nothing_more_than_its_grab_and_its_verdict(client, database, sent):
    client.dispatch_jobs([Job(funcname="Drop") for _ in range(3)])
    client.can_do("Drop")

    words = sent(client.work_until_done)

    assert words == [*GRAB[database], "BEGIN", "DELETE", "COMMIT"] * 3 + LOOK[database]


@pytest.mark.parametrize("errors", [0, 300])
def test_a_failure_costs_the_same_after_many_failures(grabbed, sent, errors):
    job = grabbed(Keep)
    Error.objects.bulk_create(
        [
            Error(jobid=job.jobid, func_id=job.funcid, message="no", error_time=ServerTime())
            for _ in range(errors)
        ]
    )

    assert len(sent(lambda: job.failed("no"))) <= 6


# Questions


@pytest.mark.parametrize("number", [1, 100])
def test_listing_jobs_with_their_functions_and_handles_is_one_statement(client, sent, number):
    client.dispatch_jobs(
        [Job(funcname=("Keep", "Drop")[n % 2], arg=[n]) for n in range(number)],
    )
    told = []

    def tell():
        for job in client.list_jobs(["Keep", "Drop"], limit=1000):
            told.append((job.funcname, job.arg, str(job.handle), job.run_after))

    words = sent(tell)

    assert words == ["SELECT"]
    assert len(told) == number


def test_listing_jobs_of_functions_that_have_no_row(client, sent):
    assert len(sent(lambda: client.list_jobs(["Unheard", "Unseen"]))) == 1


def test_looking_up_a_job_is_one_statement(client, sent):
    handle = client.dispatch_async("Keep")

    assert sent(lambda: client.lookup_job(handle)) == ["SELECT"]


@pytest.mark.parametrize("what", ["job", "is_pending", "exit_status", "failures", "failure_log"])
def test_a_question_to_a_handle_is_one_statement(client, sent, what):
    handle = client.dispatch_async("Keep")

    assert sent(lambda: getattr(handle, what)) == ["SELECT"]


@pytest.mark.parametrize("what", ["funcname", "handle", "arg", "did_something", "driver", "funcid"])
def test_a_question_that_the_job_can_answer_sends_nothing(client, sent, what):
    job = client.dispatch_async("Keep", {"a": 1}).job

    assert sent(lambda: getattr(job, what)) == []


def test_making_a_handle_of_its_text_sends_nothing(client, database, sent):
    assert sent(lambda: client.handle_from_string(f"{database}-1")) == []


def test_making_a_client_sends_nothing(sent):
    assert sent(TheSchwartz) == []


@pytest.mark.parametrize("number", [2, 60])
def test_showing_many_errors_and_exit_statuses_asks_for_their_functions_once(
    client, database, sent, number
):
    for worker in (Keep, Drop):
        func = FuncMap.objects.get(funcname=worker.funcname)
        Error.objects.bulk_create(
            [
                Error(jobid=n, func_id=func.pk, message="no", error_time=ServerTime())
                for n in range(number)
            ]
        )
    ExitStatus.objects.bulk_create(
        [
            ExitStatus(jobid=n, func_id=func.pk, status=0, completion_time=ServerTime())
            for n in range(number)
        ]
    )
    FuncMap.objects.forget(using=database)

    def show():
        for row in [*Error.objects.all(), *ExitStatus.objects.all()]:
            assert row.funcname in {"Keep", "Drop"}

    assert len(sent(show)) <= 4


@pytest.mark.parametrize("functions", [1, 30])
def test_counting_what_nobody_can_do_is_one_statement(client, database, sent, functions):
    client.dispatch_jobs([Job(funcname=f"Unheard{n % functions}") for n in range(60)])
    counts = {}

    words = sent(lambda: counts.update(nobody_can_do(database)))

    assert words == ["SELECT"]
    assert len(counts) == functions


@pytest.mark.parametrize(("expired", "deletes"), [(0, 0), (3, 1), (300, 1)])
def test_a_purge_is_a_look_at_each_table_and_one_delete_where_something_is_due(
    database, sent, expired, deletes
):
    func = FuncMap.objects.get(funcname="Keep")
    ExitStatus.objects.bulk_create(
        [
            ExitStatus(jobid=n, func_id=func.pk, status=0, completion_time=1, delete_after=1)
            for n in range(expired)
        ]
    )

    words = sent(lambda: purge(database))

    assert sorted(work_of(words)) == ["DELETE"] * deletes + ["SELECT", "SELECT"]
