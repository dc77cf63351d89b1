"""Throws bytes at the decoders of args and at the makers of text, guided by what they reach.

    python -m tox run -e fuzz -- -max_total_time=600

Ends with the input that broke a promise, or with none found. The options are libFuzzer's; a folder
among them keeps the inputs that reached something new, for the next run to begin with.
"""

import sys

import atheris

with atheris.instrument_imports(include=["django_schwartz", "json"]):
    from django_schwartz.exceptions import ArgUnreadable
    from django_schwartz.serializers import (
        MAX_TEXT,
        checked_name,
        decode_arg,
        encode_arg,
        storable_text,
    )
    from django_schwartz.signals import printable
    from django_schwartz.storable import StorableError, freeze, thaw

#: What an image or a list begins with, so that not all inputs are refused at their first byte.
BEGINNINGS = (b"", b"\x05\x0b", b"\x04\x0b\x0812345678\x04\x08\x08\x08", b"[", b'{"a":')


def is_plain(value: object) -> bool:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case list() as items:
                waiting += items
            case dict() as pairs:
                waiting += pairs.values()
                if any(type(key) is not str for key in pairs):
                    return False
            case one if one is not None and type(one) not in (bool, int, float, str, bytes):
                return False
    return True


def check_arg(stored: bytes) -> None:
    """Bytes are plain data, or unreadable; what JSON can hold of it comes back the same."""
    try:
        value = decode_arg(stored)
    except ArgUnreadable:
        return
    assert is_plain(value), value
    if isinstance(value, bytes):  # stored as they are, whatever they then read as
        return
    try:
        encoded = encode_arg(value)
    except TypeError:
        return
    assert encoded == encode_arg(decode_arg(encoded)), value


def check_image(image: bytes) -> None:
    """An image is a tree of plain data, or refused; what was read can be frozen, or is refused."""
    try:
        value = thaw(image)
    except StorableError:
        return
    assert is_plain(value), value
    if isinstance(value, list | dict):
        check_frozen(value)


def check_frozen(value: list[object] | dict[str, object]) -> None:
    try:
        image = freeze(value)
    except TypeError:
        return
    assert freeze_again(image) == image, value


def freeze_again(image: bytes) -> bytes:
    """The image of what is in the image: what it reads as must be written the same."""
    value = thaw(image)
    assert isinstance(value, list | dict)
    return freeze(value)


def check_text(text: str) -> None:
    """Any text becomes one that every database stores, and one line of a log."""
    stored = storable_text(text)
    assert "\0" not in stored
    assert len(stored) <= MAX_TEXT
    stored.encode()
    assert printable(text).isprintable()
    check_name(text)


def check_name(text: str) -> None:
    try:
        name = checked_name("uniqkey", text)
    except ValueError:
        return
    assert name == text
    assert "\0" not in name
    name.encode()


def check(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    which = provider.ConsumeIntInRange(0, len(BEGINNINGS))
    if which == len(BEGINNINGS):
        check_text(provider.ConsumeUnicode(4096))
        return
    stored = BEGINNINGS[which] + provider.ConsumeBytes(65_536)
    check_arg(stored)
    check_image(stored)


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
