"""Values made storable: a job's arg to bytes and back, and any text at all.

An arg is data. Nothing is unpickled, and no class is ever looked up or made.
"""

import json
import math
import re
from collections.abc import Iterator

from django_schwartz.exceptions import ArgUnreadable
from django_schwartz.storable import StorableError, freeze, looks_frozen, thaw

#: How a worker's args are stored: JSON text; Perl's Storable, for Perl workers; or bytes as they
#: are.
ARG_FORMATS = ("json", "storable", "raw")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("it has a number beyond all numbers")
    return number


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
#: raw_decode() without its two calls a value.
_scan = _decoder.scan_once  # type: ignore[attr-defined]
_to_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
#: Characters kept of an error's message or traceback.
MAX_TEXT = 65_536

#: Levels of a JSON column's value; MariaDB takes no more.
MAX_DEPTH = 31
#: NUL in JSON text, rather than a backslash and "u0000".
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
#: What a key that is no str becomes in JSON, where a str may be the same.
OTHER_KEY = re.compile(r'"(?:-?\d[^"]*|true|false|null)":')


def encode_arg(value: object, arg_format: str = "json") -> bytes | None:
    """The stored form of an arg: None as NULL, bytes as they are, the rest as JSON or Storable.

    Raises TypeError for a value that the format cannot hold.
    """
    if value is None or isinstance(value, bytes):
        return value
    if arg_format == "json":
        return _encode_json(value)
    if arg_format == "storable" and isinstance(value, list | dict):
        return freeze(value)
    if arg_format == "raw":
        raise TypeError(f"This function's arg is raw bytes, not {type(value).__name__}.")
    return _encode_json(value)


def _encode_json(value: object) -> bytes:
    try:
        if type(value) is int:  # for each value that is no text, json makes an encoder
            return b"%d" % value
        text = _to_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"arg must be None, str, bytes, a number, a list or a dict that JSON can hold: {error}"
        ) from error
    if OTHER_KEY.search(text):
        _refuse_like_keys(value)
    return text.encode("ascii")


def _refuse_like_keys(value: object) -> None:
    """Raise TypeError for a dict, at any depth, that has fewer keys in JSON: 1 and "1"."""
    for found in _dicts_in(value):
        if len(json.loads(json.dumps(dict.fromkeys(found)))) < len(found):
            raise TypeError("Two keys of a dict in arg are the same in JSON, such as 1 and '1'.")


def _dicts_in(value: object) -> Iterator[dict[object, object]]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item


def decode_arg(stored: bytes | None, arg_format: str = "json") -> object:
    """The value of a stored arg. The bytes decide: Storable, else JSON, else they are the value.

    Raises ArgUnreadable for bytes that are clearly meant as Storable or as a JSON list or dict, but
    are not.
    """
    if stored is None or arg_format == "raw":
        return stored
    if looks_frozen(stored):
        return _decode_storable(stored)
    return _decode_json(stored)


def _decode_storable(stored: bytes) -> object:
    try:
        return thaw(stored)
    except StorableError as error:
        raise ArgUnreadable(f"The arg cannot be read as Perl's Storable: {error}") from error


def _decode_json(stored: bytes) -> object:
    """What begins with a blank is no JSON, either: our own never does."""
    try:
        text = stored.decode("utf-8")
        try:
            value, end = _scan(text, 0)
        except StopIteration as stop:
            raise json.JSONDecodeError("Expecting value", text, stop.value) from None
        return value if end == len(text) else _decoder.decode(text)  # which says what is wrong
    except (ValueError, RecursionError) as error:
        if stored[:1] in (b"{", b"["):
            raise ArgUnreadable(f"The arg cannot be read as JSON: {error}") from error
        if isinstance(error, RecursionError):  # the caller's own stack was nearly full
            raise
        return stored


def encode_json_column(what: str, value: object) -> str | None:
    """The JSON text of a value, for a column that every database reads as JSON; None for None.

    Raises TypeError for what is no JSON, ValueError for JSON that some database would refuse.
    """
    if value is None:
        return None
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} must be a value that JSON can hold: {error}") from error
    if NUL.search(text) or not _is_unicode(text):
        raise ValueError(f"{what} holds NUL or half a surrogate pair.")
    if _depth(value) > MAX_DEPTH:
        raise ValueError(f"{what} has lists or dicts in each other, more than {MAX_DEPTH} deep.")
    return text


def _is_unicode(text: str) -> bool:
    return text.isascii() or text == text.encode("utf-8", "replace").decode("utf-8")


def _depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return 0
    return 1 + max(map(_depth, value), default=0)


def checked_name(what: str, value: object) -> str | None:
    """Text as a column of 255 characters stores it; a number becomes its digits.

    Raises TypeError for anything else, ValueError for text that some database would refuse.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"{what} must be text, not {type(value).__name__}.")
    # Not str() of a member of a str Enum, which is its name.
    text = str.__str__(value) if isinstance(value, str) else str(value)
    if len(text) > 255:
        raise ValueError(f"{what} has {len(text)} characters; 255 is the most.")
    if "\0" in text or not _is_unicode(text):
        raise ValueError(f"{what} holds NUL or half a surrogate pair: {text!a}.")
    return text


def storable_text(value: object) -> str:
    """Text that every database takes: NUL and half surrogates escaped, 64 KiB at most."""
    text = _text_of(value).replace("\0", "\\x00")
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) > MAX_TEXT:
        half = MAX_TEXT // 2 - 50
        cut = len(text) - 2 * half
        text = f"{text[:half]}\n... {cut} characters cut ...\n{text[-half:]}"
    return text


def _text_of(value: object) -> str:
    try:
        return str(value)
    except BaseException as error:  # noqa: BLE001 - __str__ is user code
        name, fault = type(value).__name__, type(error).__name__
        return f"<a {name} whose text cannot be had: {fault}>"
