"""An arg arrives as it was sent, what cannot be sent is refused, and nothing but data is read."""

import ast
import enum
import re
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import transaction
from django.utils.translation import gettext_lazy

import django_schwartz
from django_schwartz import Worker, register
from django_schwartz.exceptions import ArgUnreadable
from django_schwartz.models import ExitStatus, Job
from django_schwartz.serializers import decode_arg, encode_arg, storable_text
from tests.rows import statements


def stored():
    """The arg of the only job, as it is in the database."""
    return Job.objects.values_list("arg", flat=True).get()


def sent_and_read(client, arg, funcname="echo"):
    return client.dispatch_async(funcname, arg).job.arg


class Colour(enum.StrEnum):
    RED = "red"


# Round trips through the queue


@pytest.mark.parametrize(
    ("arg", "bytes_stored"),
    [
        (None, None),
        ("", b'""'),
        ("0", b'"0"'),
        ("null", b'"null"'),
        ("{", b'"{"'),
        ("a short arg", b'"a short arg"'),
        ("\x05\x0b\x05", b'"\\u0005\\u000b\\u0005"'),
        (" \t\r\n ", b'" \\t\\r\\n "'),
        ("NUL \0, ESC \x1b", b'"NUL \\u0000, ESC \\u001b"'),
        ("half \ud800 and half \udfff", b'"half \\ud800 and half \\udfff"'),
        ("naïve ☕ 😀", b'"na\\u00efve \\u2615 \\ud83d\\ude00"'),
        (True, b"true"),
        (False, b"false"),
        (0, b"0"),
        (-1, b"-1"),
        (2**63, b"9223372036854775808"),
        (-(10**40), b"-1" + b"0" * 40),
        (1.5, b"1.5"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (1e308, b"1e+308"),
        (5e-324, b"5e-324"),
        ([], b"[]"),
        ({}, b"{}"),
        ([None, True, 1, 1.5, "x", [], {}], b'[null,true,1,1.5,"x",[],{}]'),
        ({"to": ["a", {"cc": None}]}, b'{"to":["a",{"cc":null}]}'),
        ({"": 1, "\0": 2, "\ud800": 3}, b'{"":1,"\\u0000":2,"\\ud800":3}'),
    ],
    ids=ascii,
)
def test_an_arg_is_stored_as_json_and_read_as_it_was_sent(client, arg, bytes_stored):
    read = sent_and_read(client, arg)

    assert read == arg
    assert type(read) is type(arg)
    assert stored() == bytes_stored


@pytest.mark.parametrize(
    "arg",
    [
        b"",
        b"\0",
        b"plain text",
        b" 1",
        b"'quoted'",
        b"NaN",
        b"\xff\xfe",
        b"\x05",
        b"\x04\x0b\x08",
        b"05",
        b"nul",
        bytes(range(256)),
        bytes(range(255, -1, -1)),
        b"\x80" * 100_000,
    ],
    ids=lambda arg: repr(arg[:20]),
)
def test_bytes_are_stored_and_read_as_they_are(client, arg):
    read = sent_and_read(client, arg)

    assert read == arg
    assert type(read) is bytes
    assert stored() == arg


@pytest.mark.parametrize("first", set(range(256)) - set(b"[{"))
def test_bytes_may_begin_with_any_byte_but_those_that_open_a_list_or_a_dict(first):
    arg = bytes([first]) + b"\xff\0 and so on"

    read = decode_arg(encode_arg(arg))

    assert read == arg


@pytest.mark.parametrize(
    ("arg", "value"),
    [
        (b"null", None),
        (b"7", 7),
        (b"7 ", 7),
        (b'"text"', "text"),
        (b'{"to": "caf\xc3\xa9"}', {"to": "café"}),
        (b"[1, 2]\n", [1, 2]),
    ],
)
def test_bytes_that_are_json_are_read_as_what_it_says(client, arg, value):
    read = sent_and_read(client, arg)

    assert read == value
    assert stored() == arg


@pytest.mark.parametrize(
    ("image", "value"),
    [
        ("050b 03 00000001 0a016e 0000000161", {"a": "n"}),
        ("050b 03 00000001 0881 0000000161", {"a": 1}),
        ("050b 02 00000003 0881 0882 0883", [1, 2, 3]),
        ("040b083132333435363738 04080808 02 03000000 0881 0882 0883", [1, 2, 3]),
    ],
    ids=["a hash of text", "a hash", "an array", "an array in native order"],
)
def test_what_perl_froze_is_read_as_data(client, image, value):
    read = sent_and_read(client, bytes.fromhex(image))

    assert read == value
    assert stored() == bytes.fromhex(image)


@pytest.mark.parametrize(
    ("arg", "read_as"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (Colour.RED, "red"),
    ],
    ids=["tuples", "an enum"],
)
def test_what_json_has_no_word_for_is_read_as_the_nearest_thing(client, arg, read_as):
    read = sent_and_read(client, arg)

    assert read == read_as
    assert type(read) is type(read_as)


def test_an_arg_that_is_not_asked_for_is_passed_on_as_it_is_stored(client):
    odd = b'{"spaced" : 1.50}'
    job = client.dispatch_async("echo", odd).job

    Job.objects.all().delete()
    client.dispatch_async(job)

    assert stored() == odd


def test_many_jobs_of_one_dispatch_keep_their_args_apart(client):
    args = [None, "", b"", 0, False, [], {}, "\0", b"\0", {"a": b"x".decode()}]

    handles = client.dispatch_jobs(Job(funcname="echo", arg=arg) for arg in args)

    assert [handle.job.arg for handle in handles] == args


# What is refused


def list_in_itself():
    mine = []
    mine.append(mine)
    return mine


def list_of_depth(depth):
    mine = []
    for _ in range(depth):
        mine = [mine]
    return mine


REFUSED = [
    object(),
    {1, 2},
    Decimal("1.5"),
    datetime(2030, 1, 1, tzinfo=UTC),
    uuid.UUID(int=0),
    gettext_lazy("lazy"),
    1j,
    bytearray(b"x"),
    memoryview(b"x"),
    [b"bytes within"],
    {"key": b"bytes within"},
    {(1, 2): "a key that is a tuple"},
    {b"bytes": "as a key"},
    float("nan"),
    float("inf"),
    [float("-inf")],
    10**5000,
    list_in_itself(),
    list_of_depth(100_000),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_json_cannot_hold_is_a_type_error(number):
    with pytest.raises(TypeError, match=r"^arg must be None, str, bytes, a number, a list or a d"):
        encode_arg(REFUSED[number])


LIKE_KEYS = [
    {1: "a", "1": "b"},
    {"-1.5": "a", -1.5: "b"},
    {True: "a", "true": "b"},
    {"false": "a", False: "b"},
    {None: "a", "null": "b"},
    {"deep": [({"1e400": 0}, {"x": {10**20: "a", str(10**20): "b"}})]},
]


@pytest.mark.parametrize("number", range(len(LIKE_KEYS)))
def test_keys_that_are_one_in_json_are_a_type_error(number):
    with pytest.raises(TypeError, match="keys of a dict in arg are the same in JSON, "):
        encode_arg(LIKE_KEYS[number])


@pytest.mark.parametrize(
    ("arg", "bytes_stored"),
    [
        ({1: "a", "2": "b"}, b'{"1":"a","2":"b"}'),
        ([{1: "a"}, {"1": "b"}], b'[{"1":"a"},{"1":"b"}]'),
        ({True: "a", "True": "b"}, b'{"true":"a","True":"b"}'),
        ('"1":', b'"\\"1\\":"'),
    ],
    ids=str,
)
def test_keys_that_only_look_alike_are_stored(arg, bytes_stored):
    assert encode_arg(arg) == bytes_stored


def test_a_refused_arg_leaves_the_callers_transaction_usable(client, database):
    with transaction.atomic(using=database):
        before = client.dispatch_async("echo", "before")
        with pytest.raises(TypeError):
            client.dispatch_async("echo", {"when": datetime(2030, 1, 1, tzinfo=UTC)})
        after = client.dispatch_async("echo", "after")

    assert [before.job.arg, after.job.arg] == ["before", "after"]
    assert Job.objects.count() == 2


def test_a_refused_arg_makes_no_row_for_its_function(client, django_assert_num_queries, database):
    with django_assert_num_queries(0, using=database), pytest.raises(TypeError):
        client.dispatch_async("unheard", object())


def test_an_arg_of_the_most_bytes_is_stored(client, settings, database):
    settings.SCHWARTZ = {"DATABASES": [database], "MAX_ARG_BYTES": 10}

    assert sent_and_read(client, "12345678") == "12345678"
    assert sent_and_read(client, b"1234567890", "bytes") == 1_234_567_890


@pytest.mark.parametrize("arg", ["123456789", b"x" * 11, "☕☕", list(range(6))], ids=repr)
def test_an_arg_of_more_bytes_is_a_value_error_that_says_what_to_do(
    client, settings, database, arg
):
    settings.SCHWARTZ = {"DATABASES": [database], "MAX_ARG_BYTES": 10}

    with (
        statements(database) as words,
        pytest.raises(ValueError, match=r"bytes, more than SCHWARTZ.*: store it elsewhere"),
    ):
        client.dispatch_async("echo", arg)

    assert words == []
    assert not Job.objects.exists()


@pytest.mark.parametrize("arg", [b"x" * 100_000_000, "x" * 100_000_000], ids=["bytes", "text"])
def test_an_arg_of_100_megabytes_is_refused_before_any_statement(client, database, arg):
    with (
        statements(database) as words,
        pytest.raises(ValueError, match=r"The arg has 100,000,00\d bytes, more than"),
    ):
        client.dispatch_async("echo", arg)

    assert words == []


def test_an_arg_that_is_too_long_leaves_the_callers_transaction_usable(client, settings, database):
    settings.SCHWARTZ = {"DATABASES": [database], "MAX_ARG_BYTES": 10}

    with transaction.atomic(using=database):
        with pytest.raises(ValueError, match=r"The arg has 1,002 bytes, more than"):
            client.dispatch_async("echo", "x" * 1000)
        handle = client.dispatch_async("echo", "after")

    assert handle.job.arg == "after"


# Formats


@pytest.fixture
def worker_of():
    """Register a worker `echo` whose args have such a format."""

    def make(arg_format):
        register(type("echo", (Worker,), {"arg_format": arg_format}))

    return make


@pytest.mark.parametrize(
    "arg",
    [None, b"", b"7", b'{"never": "closed"', b"\x05\x0b\x05", bytes(range(256))],
    ids=lambda arg: repr(arg)[:30],
)
def test_a_raw_arg_is_never_interpreted(client, worker_of, arg):
    worker_of("raw")

    read = sent_and_read(client, arg)

    assert read == arg
    assert type(read) is type(arg)


@pytest.mark.parametrize("arg", ["", "text", 7, True, [], {"a": 1}], ids=repr)
def test_a_raw_arg_must_be_bytes(client, worker_of, arg):
    worker_of("raw")

    with pytest.raises(TypeError, match=r"^This function's arg is raw bytes, not "):
        client.dispatch_async("echo", arg)


@pytest.mark.parametrize(
    ("arg", "bytes_stored"),
    [
        ({"a": 1}, "0505 19 00 00000001 0881 00 0000000161"),
        ([1, "x", None], "0505 02 00000003 0881 0a0178 05"),
    ],
    ids=repr,
)
def test_a_storable_arg_is_what_a_perl_worker_thaws(client, worker_of, arg, bytes_stored):
    worker_of("storable")

    read = sent_and_read(client, arg)

    assert read == arg
    assert stored() == bytes.fromhex(bytes_stored)


def test_a_storable_arg_may_hold_bytes_within(client, worker_of):
    worker_of("storable")

    read = sent_and_read(client, {"image": b"\xff\xd8"})

    assert read == {"image": b"\xff\xd8"}


@pytest.mark.parametrize("arg", [None, "text", 7, b"\xff"], ids=repr)
def test_a_storable_arg_that_is_no_list_and_no_dict_is_read_as_it_was_sent(client, worker_of, arg):
    worker_of("storable")

    assert sent_and_read(client, arg) == arg


def test_what_storable_cannot_hold_is_a_type_error(client, worker_of):
    worker_of("storable")

    with pytest.raises(TypeError, match="Storable"):
        client.dispatch_async("echo", {"when": datetime(2030, 1, 1, tzinfo=UTC)})


def test_a_storable_worker_reads_what_was_sent_as_json(client, worker_of):
    handle = client.dispatch_async("echo", {"a": 1})

    worker_of("storable")

    assert handle.job.arg == {"a": 1}


# What cannot be read

UNREADABLE = {
    "a dict that is not closed": (b'{"never": "closed"', "The arg cannot be read as JSON: "),
    "a list that is not UTF-8": (b'["\xff"]', "The arg cannot be read as JSON: "),
    "a list of more than JSON has": (b"[NaN]", "The arg cannot be read as JSON: NaN is not JSON"),
    "a number beyond all": (b"[1e999]", "The arg cannot be read as JSON: it has a number beyond"),
    "a list and more": (b"[1][2]", "The arg cannot be read as JSON: "),
    "a list too deep": (b"[" * 200_000 + b"]" * 200_000, "The arg cannot be read as JSON: "),
    "a number too long in a list": (b"[" + b"1" * 5000 + b"]", "The arg cannot be read as JSON: "),
    "an image cut short": (bytes.fromhex("050b0200000003"), "The arg cannot be read as Perl's Sto"),
    "an image of code": (bytes.fromhex("050b041a0a0178"), "The arg cannot be read as Perl's Stora"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_unreadable_arg_is_an_error_when_it_is_asked_for(client, what):
    arg, message = UNREADABLE[what]
    job = client.dispatch_async("echo", arg).job

    with pytest.raises(ArgUnreadable) as raised:
        job.arg  # noqa: B018

    assert str(raised.value).startswith(message)
    assert isinstance(raised.value, ValueError)


def test_of_a_number_that_cannot_be_read_no_digit_is_told(client):
    job = client.dispatch_async("echo", b"[123456789012345678.5e999]").job

    with pytest.raises(ArgUnreadable) as raised:
        job.arg  # noqa: B018

    assert not re.search(r"\d", str(raised.value))


def test_an_unreadable_arg_fails_its_job_for_good_before_its_worker_sees_it(client):
    begun = []

    @register
    class Begin(Worker):
        max_retries = 5
        keep_exit_status_for = 60

        def work(self, job):
            begun.append(job)

    handle = client.dispatch_async("Begin", b'{"never": "closed"')
    client.can_do("Begin")

    worked = client.work_once()

    assert worked is True
    assert begun == []
    assert not handle.is_pending
    assert handle.exit_status == 1
    assert handle.failure_log[0].startswith("ArgUnreadable: The arg cannot be read as JSON: ")


def test_the_exit_status_keeps_an_unreadable_arg_as_it_was_stored(client):
    @register
    class Begin(Worker):
        keep_exit_status_for = 60

    handle = client.dispatch_async("Begin", b'{"never": "closed"')
    client.can_do("Begin")

    client.work_once()

    kept = ExitStatus.objects.values_list("arg", flat=True).get(pk=handle.jobid)
    assert kept == b'{"never": "closed"'


def test_a_job_with_an_unreadable_arg_can_be_given_back(client):
    register(type("echo", (Worker,), {}))
    handle = client.dispatch_async("echo", b'{"never": "closed"')
    job = client.find_job_for_workers(["echo"])

    given_back = job.give_back()

    assert given_back is True
    assert stored() == b'{"never": "closed"'
    assert handle.job.grabbed_until is None


# Names


@pytest.mark.parametrize("field", ["uniqkey", "coalesce", "queue_name"])
@pytest.mark.parametrize(
    ("value", "column"),
    [(None, None), ("", ""), ("café ☕", "café ☕"), (42, "42"), ("x" * 255, "x" * 255)],
    ids=repr,
)
def test_a_name_is_text_of_at_most_255_characters_and_a_number_is_its_digits(
    client, field, value, column
):
    handle = client.dispatch_async("echo", **{field: value})

    assert getattr(handle.job, field) == column


@pytest.mark.parametrize("field", ["uniqkey", "coalesce", "queue_name"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("x" * 256, ValueError, "has 256 characters; 255 is the most."),
        ("nul \0", ValueError, "holds NUL or half a surrogate pair: 'nul \\x00'."),
        ("half \ud800", ValueError, "holds NUL or half a surrogate pair: 'half \\ud800'."),
        (True, TypeError, "must be text, not bool."),
        (b"x", TypeError, "must be text, not bytes."),
        (1.5, TypeError, "must be text, not float."),
    ],
    ids=ascii,
)
def test_a_name_that_a_column_cannot_hold_leaves_the_callers_transaction_usable(
    client, database, field, value, error, message
):
    with transaction.atomic(using=database):
        with pytest.raises(error) as raised:
            client.dispatch_async("echo", **{field: value})
        client.dispatch_async("echo", "after")

    assert str(raised.value) == f"{field} {message}"
    assert Job.objects.get().arg == "after"


@pytest.mark.parametrize("funcname", ["half \ud800", "nul \0", "f" * 256])
def test_a_funcname_that_no_column_holds_is_a_value_error_with_a_uniqkey_too(client, funcname):
    with pytest.raises(ValueError, match=r"^funcname h"):
        client.dispatch_async(funcname, uniqkey="7")


# Any text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("one\ntwo\r\n", "one\ntwo\r\n"),
        ("café ☕ 😀", "café ☕ 😀"),
        ("NUL \0", "NUL \\x00"),
        ("half \ud800", "half \\ud800"),
        (7, "7"),
        (ValueError("wrong"), "wrong"),
        ("x" * 65_536, "x" * 65_536),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_any_text_is_made_storable(value, text):
    assert storable_text(value) == text


def test_long_text_keeps_its_beginning_and_its_end():
    text = storable_text("a" * 500_000 + "z" * 500_000)

    assert len(text) <= 65_536
    assert text.startswith("a" * 32_000)
    assert text.endswith("z" * 32_000)
    assert "\n... 934564 characters cut ...\n" in text


@pytest.mark.parametrize("fault", [ValueError, SystemExit, KeyboardInterrupt, RecursionError])
def test_a_value_whose_text_cannot_be_had_is_told_by_its_class(fault):
    class Odd:
        def __str__(self):
            raise fault

    assert storable_text(Odd()) == f"<a Odd whose text cannot be had: {fault.__name__}>"


# The package

#: What makes objects, or runs code, of names and bytes.
FORBIDDEN = {
    "__import__",
    "dill",
    "eval",
    "exec",
    "import_module",
    "import_string",
    "loads_unsafe",
    "marshal",
    "pickle",
    "cPickle",
    "cloudpickle",
    "shelve",
    "yaml",
}

PACKAGE = Path(django_schwartz.__file__).parent
#: What imports a module by its name, and nothing more than that.
IMPORTERS = {
    PACKAGE / "backend" / "finding.py",  # an app's `tasks` only: backend/test_finding.py
    PACKAGE / "torture" / "settings.py",  # the settings that the user's command line names
}


def identifiers(source):
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case ast.alias(name=name):
                yield from name.split(".")
            case ast.ImportFrom(module=str(name)):
                yield from name.split(".")


@pytest.mark.parametrize(
    "source",
    [
        "import pickle as p",
        "from os import path; from marshal import loads",
        "eval('1')",
        "builtins.exec('1')",
        "django.utils.module_loading.import_string(path)",
    ],
)
def test_the_look_at_the_package_finds_what_is_forbidden(source):
    assert FORBIDDEN & set(identifiers(source))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_nothing_in_the_package_unpickles_runs_or_imports_what_data_names(path):
    allowed = {"import_module"} if path in IMPORTERS else set()
    assert FORBIDDEN & set(identifiers(path.read_text())) == allowed
