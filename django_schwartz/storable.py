"""Perl's Storable as plain data: None, bool, int, float, str, bytes, list and dict.

Nothing else is ever made and nothing is imported, whatever an image says: an object is read as the
data it holds; code, hooks, tied variables and regular expressions are refused.
"""

import re
import struct
from collections.abc import Callable, Sequence, Sized
from enum import IntEnum, IntFlag
from math import isfinite

#: Lists and dicts within each other.
MAX_NESTING = 100

#: Bytes that an image may grow by when what it repeats by reference is written out each time:
#: as many as the original's arg column holds, a mediumblob.
MAX_REPEATED = 16 * 2**20

#: Perl's size and order of an integer, as a native image gives it and as struct does.
_INTEGERS = {b"\x041234": "<i", b"\x044321": ">i", b"\x0812345678": "<q", b"\x0887654321": ">q"}

#: What nfreeze writes; or freeze: the integer, the sizes of C's int, long and pointer, a double's.
_HEADER = re.compile(
    rb"\x05[\x02-\x0c]|\x04[\x02-\x0c](%s)[\x04\x08]{3}\x08" % b"|".join(_INTEGERS)
)

#: What a header begins with, which is quicker to look for in each arg.
_BEGINNINGS = (b"\x04", b"\x05")

#: Network order, minor 5: the oldest with UTF-8 keys, and the newest that Perl 5.8.0 knows.
_WRITTEN_HEADER = b"\x05\x05"

#: The byte before a value that tells its type, by Storable's own names.
Mark = IntEnum(
    "Mark",
    "OBJECT LSCALAR ARRAY HASH REF UNDEF INTEGER DOUBLE BYTE NETINT SCALAR TIED_ARRAY TIED_HASH "
    "TIED_SCALAR SV_UNDEF SV_YES SV_NO BLESS IX_BLESS HOOK OVERLOAD TIED_KEY TIED_IDX UTF8STR "
    "LUTF8STR FLAG_HASH CODE WEAKREF WEAKOVERLOAD VSTRING LVSTRING SVUNDEF_ELEM REGEXP LOBJECT "
    "BOOLEAN_TRUE BOOLEAN_FALSE",
    start=0,
)

#: What a FLAG_HASH tells of a key.
KeyFlag = IntFlag("KeyFlag", {"UTF8": 1, "WAS_UTF8": 2, "IS_SCALAR": 8, "PLACEHOLDER": 16})

_UNFINISHED = object()


class StorableError(ValueError):
    """The bytes are no whole Storable image, or hold more than plain data."""


def looks_frozen(data: bytes) -> bool:
    """Whether data begins with a header of nfreeze or freeze. The rest is not looked at."""
    return data.startswith(_BEGINNINGS) and _HEADER.match(data) is not None


def thaw(data: bytes) -> object:
    """The data in an image; a reference is read as the thing it refers to.

    Perl's byte strings are str when they are UTF-8, else bytes; numbers that Perl wrote as text are
    str. Raises StorableError for anything but one whole image of a tree of plain data.
    """
    header = _HEADER.match(data)
    if header is None:
        raise StorableError("it has no Storable header")
    try:
        return _Image(header).whole()
    except RecursionError as error:  # the caller's own stack was nearly full
        raise StorableError("it is nested too deeply") from error


class _Image:
    """An image being read, front to back."""

    def __init__(self, header: re.Match[bytes]) -> None:
        self.data = header.string
        self.position = header.end()
        self.integer = _INTEGERS.get(header[1], ">")
        self.order = self.integer[0]
        self.readers = _READERS | _NATIVE_READERS if header[1] else _READERS
        self.values: list[object] = []  # by the number that an OBJECT names
        self.sizes: list[int] = []
        self.heights: list[int] = []
        self.depth = self.deepest = self.repeated = 0

    def whole(self) -> object:
        value = self.value()
        if self.position < len(self.data):
            raise StorableError(f"{len(self.data) - self.position} bytes follow it")
        return value

    def value(self) -> object:
        """Read the next value and number it, so that an OBJECT can repeat it."""
        start, around = self.position + self.repeated, self.deepest
        mark = self.mark()
        if mark == Mark.OBJECT:
            return self.repeat()
        read = self.reader(mark)
        number = self.begin()
        value = self.values[number] = read(self)
        self.sizes[number] = self.position + self.repeated - start
        self.heights[number] = self.deepest - self.depth
        self.deepest = max(self.deepest, around)
        self.depth -= 1
        return value

    def mark(self) -> int:
        """The mark of the next value, past what only Perl has a use for."""
        while (mark := self.byte()) in _PASSED_OVER:
            _PASSED_OVER[mark](self)
        return mark

    def reader(self, mark: int) -> "Callable[[_Image], object]":
        if mark in self.readers:
            return self.readers[mark]
        name = Mark(mark).name if mark < len(Mark) else f"type {mark}"
        raise StorableError(f"{name} is not plain data")

    def begin(self) -> int:
        self.depth += 1
        self.deepest = self.depth
        self.check_limits()
        self.values.append(_UNFINISHED)
        self.sizes.append(0)
        self.heights.append(0)
        return len(self.values) - 1

    def repeat(self) -> object:
        number = self.number(">I")  # in native images too
        if number >= len(self.values):
            raise StorableError(f"it repeats value {number}, which it lacks")
        if self.values[number] is _UNFINISHED:
            raise StorableError("it refers to itself, and data is a tree")
        self.repeated += self.sizes[number]
        self.deepest = max(self.deepest, self.depth + 1 + self.heights[number])
        self.check_limits()
        return self.values[number]

    def check_limits(self) -> None:
        if self.deepest > 2 * MAX_NESTING:  # a list in a list is a REF and an ARRAY
            raise StorableError("it is nested too deeply")
        if self.repeated > MAX_REPEATED:
            raise StorableError("it repeats too much by reference")

    def take(self, size: int) -> bytes:
        start, self.position = self.position, self.position + size
        if self.position > len(self.data):
            raise StorableError("it is cut short")
        return self.data[start : self.position]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, kind: str) -> int:
        """The next integer, of an order and size as struct spells them."""
        number: int
        [number] = struct.unpack(kind, self.take(struct.calcsize(kind)))
        return number

    def count(self) -> int:
        """How many bytes or values are to come; a value has a byte at least."""
        count = self.number(self.order + "I")
        if count > len(self.data) - self.position:
            raise StorableError("it is cut short")
        return count

    def short_string(self) -> bytes:
        return self.take(self.byte())

    def long_string(self) -> bytes:
        return self.take(self.count())

    def class_name(self) -> None:
        size = self.byte()
        self.take(self.count() if size & 0x80 else size)

    def class_index(self) -> None:
        if self.byte() & 0x80:
            self.take(4)

    def array(self) -> list[object]:
        return [self.value() for _ in range(self.count())]

    def flag_hash(self) -> dict[str, object]:
        self.byte()  # whether it is locked, in Perl
        return self.pairs(self.flagged_key)

    def pairs(self, read_key: Callable[[], str | None]) -> dict[str, object]:
        pairs: dict[str, object] = {}
        for _ in range(self.count()):
            value = self.value()
            key = read_key()
            if key in pairs:  # "\xe9" and "\xc3\xa9" are two keys to Perl
                raise StorableError("two keys of a hash read the same")
            if key is not None:
                pairs[key] = value
        return pairs

    def key(self) -> str:
        return _key(self.long_string())

    def flagged_key(self) -> str | None:
        """A key, or None for one that a locked hash may have but has not."""
        flags = self.byte()
        key = self.long_string()
        if flags & KeyFlag.IS_SCALAR:
            raise StorableError("a key is a scalar")
        if flags & KeyFlag.PLACEHOLDER:
            return None
        if flags & KeyFlag.UTF8:
            return _utf8(key)
        return key.decode("latin-1") if flags & KeyFlag.WAS_UTF8 else _key(key)


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _key(raw: bytes) -> str:
    """A str in any case, for JSON: what is not UTF-8 is Latin-1, as it is to Perl."""
    text = _text(raw)
    return text if isinstance(text, str) else text.decode("latin-1")


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise StorableError(f"a UTF-8 string of it is not UTF-8: {error}") from error


_PASSED_OVER: dict[int, Callable[[_Image], object]] = {
    Mark.BLESS: _Image.class_name,
    Mark.IX_BLESS: _Image.class_index,
    Mark.VSTRING: _Image.short_string,  # how v1.2.3 was spelt; its value follows
    Mark.LVSTRING: _Image.long_string,
}

_READERS: dict[int, Callable[[_Image], object]] = {
    Mark.UNDEF: lambda image: None,
    Mark.SV_UNDEF: lambda image: None,
    Mark.SVUNDEF_ELEM: lambda image: None,
    Mark.SV_YES: lambda image: True,
    Mark.SV_NO: lambda image: False,
    Mark.BOOLEAN_TRUE: lambda image: True,
    Mark.BOOLEAN_FALSE: lambda image: False,
    Mark.BYTE: lambda image: image.byte() - 128,
    Mark.NETINT: lambda image: image.number(">i"),
    Mark.SCALAR: lambda image: _text(image.short_string()),
    Mark.LSCALAR: lambda image: _text(image.long_string()),
    Mark.UTF8STR: lambda image: _utf8(image.short_string()),
    Mark.LUTF8STR: lambda image: _utf8(image.long_string()),
    Mark.ARRAY: _Image.array,
    Mark.HASH: lambda image: image.pairs(image.key),
    Mark.FLAG_HASH: _Image.flag_hash,
    Mark.REF: _Image.value,
    Mark.WEAKREF: _Image.value,
    Mark.OVERLOAD: _Image.value,
    Mark.WEAKOVERLOAD: _Image.value,
}

#: In network order Perl writes these as text.
_NATIVE_READERS: dict[int, Callable[[_Image], object]] = {
    Mark.INTEGER: lambda image: image.number(image.integer),
    Mark.DOUBLE: lambda image: struct.unpack(image.order + "d", image.take(8))[0],
}


def freeze(value: object) -> bytes:
    """The image of a list or dict, as nfreeze makes it for every Perl since 5.8.

    Within are None, bool (as 1 and 0), int, float, str, bytes, list, tuple, and dict with str keys;
    fractions and ints past 32 bits are text, as Perl does. Raises TypeError for anything else.
    """
    if not isinstance(value, list | tuple | dict):
        raise TypeError(f"Storable holds a list or a dict, not {type(value).__name__}")
    try:
        return _WRITTEN_HEADER + _frozen_container(value, nesting=1)
    except (ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"Storable cannot hold it: {error}") from error


def _frozen(value: object, nesting: int) -> bytes:
    match value:
        case None:
            return bytes([Mark.UNDEF])
        case int():  # and bool: SV_YES and SV_NO are read-only in Perl
            return _frozen_int(value)
        case float():
            return _frozen_float(value)
        case str():
            return _frozen_str(value)
        case bytes():
            return _sized(Mark.SCALAR, Mark.LSCALAR, value)
        case list() | tuple() | dict():
            return bytes([Mark.REF]) + _frozen_container(value, nesting + 1)
    raise TypeError(f"Storable holds no {type(value).__name__}")


def _frozen_container(value: Sequence[object] | dict[object, object], nesting: int) -> bytes:
    if nesting > MAX_NESTING:
        raise ValueError(f"more than {MAX_NESTING} lists and dicts within each other")
    if isinstance(value, dict):
        pairs = [_frozen(item, nesting) + _frozen_key(key) for key, item in value.items()]
        return bytes([Mark.FLAG_HASH, 0]) + _count(pairs) + b"".join(pairs)
    items = [_frozen(item, nesting) for item in value]
    return bytes([Mark.ARRAY]) + _count(items) + b"".join(items)


def _frozen_key(key: object) -> bytes:
    if not isinstance(key, str):
        raise TypeError(f"Storable holds keys of str, not {type(key).__name__}")
    flag = 0 if key.isascii() else KeyFlag.UTF8
    return bytes([flag]) + _count(key.encode()) + key.encode()


def _frozen_int(value: int) -> bytes:
    if -128 <= value <= 127:
        return bytes([Mark.BYTE, value + 128])
    if -(2**31) <= value < 2**31:
        return bytes([Mark.NETINT]) + struct.pack(">i", value)
    return _frozen_str(format(value, "d"))


def _frozen_float(value: float) -> bytes:
    if not isfinite(value):
        raise ValueError(f"{value} is no number to JSON")
    if value.is_integer() and abs(value) < 2**31:  # to Perl 2.0 is 2
        return _frozen_int(int(value))
    return _frozen_str(float.__repr__(value))


def _frozen_str(value: str) -> bytes:
    if value.isascii():
        return _sized(Mark.SCALAR, Mark.LSCALAR, value.encode())
    return _sized(Mark.UTF8STR, Mark.LUTF8STR, value.encode())


def _sized(short: int, long: int, raw: bytes) -> bytes:
    if len(raw) < 256:
        return bytes([short, len(raw)]) + raw
    return bytes([long]) + _count(raw) + raw


def _count(value: Sized) -> bytes:
    return len(value).to_bytes(4, "big")
