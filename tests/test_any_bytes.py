"""Whatever bytes are in a row, they are plain data or cannot be read."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_schwartz.exceptions import ArgUnreadable
from django_schwartz.serializers import checked_name, decode_arg, encode_arg, storable_text
from django_schwartz.signals import printable
from tests.test_storable import is_plain

#: A loaded machine is no failure.
unhurried = settings(deadline=None)

PIECES = st.sampled_from(
    [
        *(bytes([byte]) for byte in b'[]{},:" \xff'),
        *(b'"a"', b"1", b"1e999", b"-0", b"NaN", b"null", b"true", b"\\ud800", b"\\u0000"),
        *(b"\xef\xbb\xbf", b"9" * 5000, b"[" * 2000, b'{"a":', b"\x05\x0b"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Half a surrogate pair is text to Python, and to JSON.
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def check_is_data_or_unreadable(stored):
    try:
        value = decode_arg(stored)
    except ArgUnreadable:
        return
    assert is_plain(value)


@unhurried
@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_unreadable(stored):
    check_is_data_or_unreadable(stored)


@unhurried
@given(st.lists(PIECES, max_size=30))
def test_any_pieces_of_json_are_data_or_unreadable(pieces):
    check_is_data_or_unreadable(b"".join(pieces))


@unhurried
@given(VALUES, st.data())
def test_any_change_to_json_is_data_or_unreadable(value, data):
    stored = encode_arg(value) or b""
    start = data.draw(st.integers(0, len(stored)))
    end = data.draw(st.integers(start, min(start + 4, len(stored))))

    check_is_data_or_unreadable(stored[:start] + data.draw(st.binary(max_size=4)) + stored[end:])


@unhurried
@given(VALUES)
@example("\ud800")
@example([1e308, -0.0, 2**63, "\0\u2028"])
def test_what_json_holds_is_read_as_it_was_sent(value):
    assert decode_arg(encode_arg(value)) == value


@unhurried
@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_is_a_name_that_every_database_stores_or_a_value_error(text):
    try:
        name = checked_name("uniqkey", text)
    except ValueError:
        return
    assert name == text
    assert "\0" not in name
    assert len(name) <= 255
    assert name.encode().decode() == text


@unhurried
@given(st.text(st.characters(codec=None)))
def test_any_text_is_one_line_of_a_log_and_storable(text):
    assert printable(text).isprintable()
    assert len(json.dumps(printable(text)).splitlines()) == 1
    assert "\0" not in storable_text(text)
    assert storable_text(text).encode().decode() == storable_text(text)
