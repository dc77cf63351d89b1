"""A job is made of a funcname, an arg and columns, in no database yet. After t/05-job-ctor.t."""

import copy
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from django_schwartz.models import Job

ARG = {"scoops": 2, "with": ["cheese", "love"]}
#: ARG as Perl's Storable::nfreeze writes it.
FROZEN = bytes.fromhex(
    "050b03000000020402000000020a066368656573650a046c6f7665000000047769746808820000000673636f6f7073"
)


@pytest.mark.parametrize(
    "job",
    [
        Job.new_from_array("feedmajor", ARG),
        Job.new_from_array("feedmajor", FROZEN),
        Job(funcname="feedmajor", arg=ARG),
        Job(funcname="feedmajor", arg=FROZEN),
    ],
    ids=["array, value", "array, frozen", "value", "frozen"],
)
def test_a_value_and_its_frozen_image_make_the_same_job(job):
    assert job.funcname == "feedmajor"
    assert job.arg == {"scoops": 2, "with": ["cheese", "love"]}


@pytest.mark.parametrize(
    "job",
    [
        Job.new_from_array("feedmajor", ["cheese", "water", "beer"]),
        Job(funcname="feedmajor", arg=["cheese", "water", "beer"]),
    ],
    ids=["array", "keywords"],
)
def test_a_list_is_an_arg_for_either_constructor(job):
    assert job.arg == ["cheese", "water", "beer"]


def test_a_job_takes_every_column():
    job = Job(
        funcname="feeddog",
        run_after=datetime(2030, 1, 2, tzinfo=UTC),
        priority=7,
        arg={"scoops": 2},
        coalesce="major",
        uniqkey="rex",
        jobid=4711,
    )

    assert job.funcname == "feeddog"
    assert job.run_after == datetime(2030, 1, 2, tzinfo=UTC)
    assert job.priority == 7
    assert job.arg == {"scoops": 2}
    assert job.coalesce == "major"
    assert job.uniqkey == "rex"
    assert job.jobid == 4711


def test_a_misspelt_column_is_a_type_error():
    with pytest.raises(TypeError, match="run_atter"):
        Job(funcname="feeddog", run_atter=60)


@pytest.mark.parametrize(
    "arguments",
    [("scalar1", "scalar2"), (b"scalar1", "scalar2"), ({"with": "poison"}, {"extra": "arg"}), ()],
    ids=["texts", "bytes", "dicts", "no arg"],
)
def test_new_from_array_takes_exactly_a_funcname_and_an_arg(arguments):
    with pytest.raises(TypeError):
        Job.new_from_array("feeddog", *arguments)


def test_new_from_array_refuses_the_pairs_of_the_old_synopsis():
    with pytest.raises(TypeError):
        Job.new_from_array("MyWorker", foo="bar")


def test_a_funcname_may_be_set_later():
    job = Job(arg=ARG)

    job.funcname = "feedmajor"

    assert job.funcname == "feedmajor"


def test_a_job_that_was_not_dispatched_has_no_number_no_handle_and_no_holder():
    job = Job(funcname="feedmajor")

    assert job.jobid is None
    assert job.handle is None
    assert job.grabbed_until is None
    assert not job.did_something


def test_only_the_server_says_when_a_job_is_due_that_does_not_say_so_itself():
    job = Job(funcname="feedmajor")

    assert job.run_after is None
    assert job.insert_time is None


@pytest.mark.parametrize("fact", ["exit_status", "failures", "failure_log"])
def test_a_job_that_was_not_dispatched_has_no_history(fact):
    job = Job(funcname="feedmajor")

    with pytest.raises(ValueError, match="not dispatched yet"):
        getattr(job, fact)


@pytest.mark.parametrize("arg", ["", "0", 0, False, [], {}, None], ids=repr)
def test_an_empty_arg_stays_what_it_is(arg):
    job = Job(funcname="feedmajor", arg=arg)

    assert job.arg == arg
    assert type(job.arg) is type(arg)


def test_text_that_happens_to_be_a_frozen_image_stays_text():
    job = Job(funcname="feedmajor", arg="\x05\x0b\x05")

    assert job.arg == "\x05\x0b\x05"


def test_a_frozen_object_is_read_as_data():
    frozen_object = bytes.fromhex("050b11044576696c030000000108810000000161")

    job = Job(funcname="feedmajor", arg=frozen_object)

    assert job.arg == {"a": 1}


def test_a_time_may_be_relative_to_the_server():
    job = Job(funcname="feedmajor", run_after=timedelta(minutes=1))

    assert job.run_after == timedelta(minutes=1)


def test_a_job_names_itself_by_its_function():
    job = Job(funcname="feedmajor")

    assert str(job) == "feedmajor (not dispatched)"


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda job: pickle.loads(pickle.dumps(job))]
)
def test_a_dispatched_job_can_be_copied_and_pickled(client, again):
    job = Job(funcname="Note", arg=[1, 2])
    client.dispatch_async(job)

    for one in (again(job), again(again(job))):
        assert (one.arg, one.funcname, one.func.funcname) == ([1, 2], "Note", "Note")
        assert one.handle == job.handle


def test_a_constructor_of_ones_own_may_set_attributes_first():
    class Tagged(Job):
        class Meta:
            proxy = True
            app_label = "tests"

        def __init__(self, *args, **kwargs):
            self.tag = "red"
            super().__init__(*args, **kwargs)

    job = Tagged(funcname="feedmajor", arg=1)

    assert (job.tag, job.funcname, job.arg) == ("red", "feedmajor", 1)
