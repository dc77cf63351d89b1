"""Perl's Storable is read and written as plain data, and nothing but plain data."""

import inspect
import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_schwartz.storable import (
    MAX_NESTING,
    MAX_REPEATED,
    Mark,
    StorableError,
    freeze,
    looks_frozen,
    thaw,
)

# What Perl 5.36 (Storable 3.26) writes: the expression, nfreeze's image of it, what it is here.
NETWORK_IMAGES = [
    ("{a => 1}", "050b030000000108810000000161", {"a": 1}),
    ("{0 => 1, '' => 2}", "050b030000000208820000000008810000000130", {"": 2, "0": 1}),
    (
        "{to => [1, {a => []}]}",
        "050b 0300000001 040200000002 0881 040300000001 040200000000 0000000161 00000002746f",
        {"to": [1, {"a": []}]},
    ),
    (
        "[1, -1, 127, 128, -128, -129, 300, -70000]",
        "050b02000000080881087f08ff0900000080080009ffffff7f090000012c09fffeee90",
        [1, -1, 127, 128, -128, -129, 300, -70000],
    ),
    (
        "[2147483647, -2147483648, 2147483648]",
        "050b0200000003097fffffff09800000000a0a32313437343833363438",
        [2147483647, -2147483648, "2147483648"],
    ),
    (
        "[1.5, 2.0, 1/3, 1e22]",
        "050b02000000040a03312e3508820a11302e3333333333333333333333333333330a0531652b3232",
        ["1.5", 2, "0.333333333333333", "1e+22"],
    ),
    ("[undef, '', '0', '007']", "050b0200000004050a000a01300a03303037", [None, "", "0", "007"]),
    (
        r'["caf\xc3\xa9", "\xe9", "\x{263a}"]',
        "050b02000000030a05636166c3a90a01e91703e298ba",
        ["café", b"\xe9", "☺"],
    ),
    (
        r'{"\xe9" => 1, "\x{263a}" => 2}',
        "050b19000000000208810000000001e908820100000003e298ba",
        {"é": 1, "☺": 2},
    ),
    (
        r'do { my $key = "\xc3\xa9"; utf8::upgrade($key); +{$key => 1} }',
        "050b19000000000108810200000002c3a9",
        {"Ã©": 1},
    ),
    (
        'do { my %h = (a => 1); Hash::Util::lock_keys(%h, "a", "b"); \\%h }',
        "050b19010000000208810000000001610e140000000162",
        {"a": 1},
    ),
    ('["x" x 300]', "050b0200000001010000012c" + "78" * 300, ["x" * 300]),
    (r'["\x{263a}" x 100]', "050b0200000001180000012c" + "e298ba" * 100, ["☺" * 100]),
    (r'\"hello"', "050b0a0568656c6c6f", "hello"),
    (r'\\"hello"', "050b040a0568656c6c6f", "hello"),
    (r"\undef", "050b0e", None),
    ("[!!1, !!0]", "050b02000000020a01310a00", ["1", ""]),
    (r"[\!!1, \!!0]", "050b0200000002040f0410", [True, False]),
    (
        "[JSON::PP::true, JSON::PP::false]",
        "050b02000000021411114a534f4e3a3a50503a3a426f6f6c65616e08811412000880",
        [1, 0],
    ),
    (
        "do { my @sparse; $sparse[2] = 1; \\@sparse }",
        "050b02000000030e0e0881",
        [None, None, 1],
    ),
    (
        'do { my $x = ["x"]; [$x, $x] }',
        "050b0200000002 040200000001 0a0178 040000000002",
        [["x"], ["x"]],
    ),
    (
        "do { my $x = [1]; my %h = (x => $x); Scalar::Util::weaken($h{x}); [$x, \\%h] }",
        "050b020000000204020000000108810403000000011b00000000020000000178",
        [[1], {"x": [1]}],
    ),
    (
        'bless {a => bless([], "B"), b => bless([], "B")}, "A"',
        "050b1101410300000002041101420200000000000000016104120102000000000000000162",
        {"a": [], "b": []},
    ),
    ('bless [1], "C" x 200', "050b1180000000c8" + "43" * 200 + "02000000010881", [1]),
    (
        'do { package Loud; use overload q("") => sub { "!" }; [bless [1], "Loud"] }',
        "050b0200000001 14 11044c6f7564 02000000010881",
        [[1]],
    ),
    ("[v1.2.3]", "050b02000000011d0676312e322e330a03010203", ["\x01\x02\x03"]),
]

# What its freeze writes, on a little-endian machine of 64 bits.
NATIVE = "040b 083132333435363738 04080808 "
NATIVE_IMAGES = [
    (
        '[1, -200, 1.5, "x", 2**40]',
        NATIVE + "0205000000 0881 0638ffffffffffffff 07000000000000f83f 0a0178 060000000000010000",
        [1, -200, 1.5, "x", 2**40],
    ),
    (
        'do { my $x = ["x"]; [300, $x, $x] }',
        NATIVE + "0203000000 062c01000000000000 040201000000 0a0178 040000000003",
        [300, ["x"], ["x"]],
    ),
    (
        '{a => "x" x 300}',
        NATIVE + "0301000000 012c010000" + "78" * 300 + "0100000061",
        {"a": "x" * 300},
    ),
]

# What other machines and later versions write, by hand: no such Perl wrote them.
FOREIGN_IMAGES = {
    "big-endian, 64 bits": (
        "040b 083837363534333231 04080808 0200000002 06ffffffffffffff38 073ff8000000000000",
        [-200, 1.5],
    ),
    "little-endian, 32 bits": (
        "0405 0431323334 04040408 0202000000 0638ffffff 07000000000000f83f",
        [-200, 1.5],
    ),
    "big-endian, 32 bits": ("0405 0434333231 04040408 0200000001 06ffffff38", [-200]),
    "Storable 3.27's booleans": ("050c 0200000002 22 23", [True, False]),
}

REFUSED_IMAGES = [
    ("do { my $x = []; push @$x, $x; $x }", "050b0200000001040000000000", "itself"),
    ("[qr/ab/i]", "050b020000000104110652656765787020000261620169", "REGEXP"),
    ("[sub { 1 }]", "050b0200000001041a0a0a7b0a20202020313b0a7d", "CODE"),
    (
        "do { package Hook; sub STORABLE_freeze { 'frozen' } [bless [], 'Hook'] }",
        "050b0200000001 04 1301 04486f6f6b 0666726f7a656e",
        "HOOK",
    ),
    (
        "do { tie my %h, 'Tie::StdHash'; $h{a} = 1; \\%h }",
        "050b0c04110c5469653a3a53746448617368030000000108810000000161",
        "TIED_HASH",
    ),
    (
        "do { tie my @a, 'Tie::StdArray'; \\@a }",
        "050b0b04110d5469653a3a53746441727261790200000000",
        "TIED_ARRAY",
    ),
    (
        "do { tie my $s, 'Tie::StdScalar'; \\$s }",
        "050b0d04110e5469653a3a5374645363616c617205",
        "TIED_SCALAR",
    ),
    (
        r'{"\xe9" => 1, "\xc3\xa9" => 2}',
        "050b0300000002 088200000002c3a9 088100000001e9",
        "two keys",
    ),
]

BROKEN_IMAGES = {
    "nothing": ("", "no Storable header"),
    "only a header": ("050b", "cut short"),
    "an unknown type": ("050b63", "type 99"),
    "a type of Storable 0.6": ("050b58", "type 88"),
    "a byte too many": ("050b0500", "1 bytes follow"),
    "a short string cut": ("050b0a0561", "cut short"),
    "a long string cut": ("050b01000001ff61", "cut short"),
    "more items than bytes": ("050b02ffffffff05", "cut short"),
    "more pairs than bytes": ("050b03ffffffff05", "cut short"),
    "a hash without its key": ("050b030000000108810000", "cut short"),
    "a key longer than the rest": ("050b03000000010881000000ff61", "cut short"),
    "a value of itself": ("050b0000000000", "lacks"),
    "a value yet to come": ("050b0200000002 0000000002 0881", "lacks"),
    "a reference to itself": ("050b040000000000", "itself"),
    "UTF-8 that is not": ("050b1702c328", "not UTF-8"),
    "a surrogate in UTF-8": ("050b1703eda080", "not UTF-8"),
    "a UTF-8 key that is not": ("050b190000000001 0881 01 00000001ff", "not UTF-8"),
    "a scalar as key": ("050b190000000001 0881 08 00000001ff", "key"),
    "one key twice": ("050b0300000002" + "08810000000161" * 2, "two keys"),
    "a large object": ("050b210100000001000000", "LOBJECT"),
    "a native integer in network order": ("050b060000000000000001", "INTEGER"),
    "a native double in network order": ("050b073ff8000000000000", "DOUBLE"),
    "references without end": ("050b" + "04" * 100_000, "too deeply"),
    "lists without end": ("050b" + "0402000f0000" * 1_000 + "00" * 1_000_000, "too deeply"),
}

# The scalar args of the original's t/insert-and-do.t, which it stores and gives back as they are.
SCALAR_ARGS = [
    b"short_arg",
    b"long arg more than 11 bytes long",
    b"\x05scalar that begins with the 5 byte",
]


def image_of(text: str) -> bytes:
    return bytes.fromhex(text)


class Perl:
    """A Perl that evaluates expressions, with bytes in $_ and bytes as their value."""

    SERVER = r"""
        use Storable ();
        use JSON::PP ();
        use Hash::Util ();
        use Scalar::Util ();
        use Tie::Array; use Tie::Hash; use Tie::Scalar;
        $Storable::Deparse = $| = 1;
        $JSON = JSON::PP->new->utf8->allow_nonref->allow_unknown;
        while (my $line = <STDIN>) {
            (my $code, local $_) = map { pack "H*", $_ } split /[ \n]/, $line, -1;
            my $value = eval $code;
            print unpack("H*", $@ ? "died: $@" : "gave: $value"), "\n";
        }
    """

    def __init__(self, path):
        self.process = subprocess.Popen(
            [path, "-e", self.SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __call__(self, code: str, given: bytes = b"") -> bytes:
        self.process.stdin.write(f"{code.encode().hex()} {given.hex()}\n".encode())
        self.process.stdin.flush()
        answer = bytes.fromhex(self.process.stdout.readline().decode())
        assert answer.startswith(b"gave: "), answer
        return answer.removeprefix(b"gave: ")

    def close(self):
        with self.process:
            self.process.stdin.close()


@pytest.fixture(scope="module")
def perl():
    path = shutil.which("perl")
    if path is None:
        pytest.skip("no perl on the PATH: only images made before are read")
    perl = Perl(path)
    yield perl
    perl.close()


def view_of(perl, image):
    """What Perl thaws from an image, by way of its JSON."""
    return json.loads(perl("$JSON->encode(Storable::thaw($_))", image))


@pytest.mark.parametrize(("expression", "image", "value"), NETWORK_IMAGES + NATIVE_IMAGES)
def test_what_perl_froze_is_read_as_data(expression, image, value):
    thawed = thaw(image_of(image))

    assert repr(thawed) == repr(value)


@pytest.mark.parametrize(("expression", "image", "value"), NETWORK_IMAGES)
def test_what_perl_freezes_now_is_read_as_data(perl, expression, image, value):
    thawed = thaw(perl(f"Storable::nfreeze({expression})"))

    assert thawed == value


@pytest.mark.parametrize(("expression", "image", "value"), NATIVE_IMAGES)
def test_what_perl_freezes_in_its_native_order_is_read_as_data(perl, expression, image, value):
    thawed = thaw(perl(f"Storable::freeze({expression})"))

    assert thawed == value


def test_objects_of_hundreds_of_classes_are_read_as_data(perl):
    image = perl('Storable::nfreeze([map { bless([], "C$_"), bless({}, "C$_") } 1 .. 300])')

    assert thaw(image) == [[], {}] * 300


@pytest.mark.parametrize(("image", "value"), FOREIGN_IMAGES.values(), ids=FOREIGN_IMAGES)
def test_images_of_other_machines_and_versions_are_read(image, value):
    thawed = thaw(image_of(image))

    assert repr(thawed) == repr(value)


@pytest.mark.parametrize("image", [image for _, image, _ in NETWORK_IMAGES + NATIVE_IMAGES])
def test_an_image_is_known_by_its_header(image):
    assert looks_frozen(image_of(image))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05",
        b"\x05\x01",
        b"\x05\x0d\x03\x00\x00\x00\x00",
        b"\x04\x0b",
        b"\x04\x0b\x0812345678",
        b"\x04\x0b\x0812348765\x04\x08\x08\x08",
        b"\x04\x0b\x0412345678\x04\x08\x08\x08",
        b"\x04\x0b\x0812345678\x04\x08\x08\x10",
        b"pst0\x05\x0b\x03\x00\x00\x00\x00",
        b'{"to": "a@example.org"}',
    ],
)
def test_other_bytes_are_not_taken_for_an_image(data):
    assert not looks_frozen(data)


@pytest.mark.parametrize("scalar", SCALAR_ARGS)
def test_the_originals_scalar_args_are_no_images(scalar):
    assert not looks_frozen(scalar)
    with pytest.raises(StorableError, match="no Storable header"):
        thaw(scalar)


@pytest.mark.parametrize(("expression", "image", "reason"), REFUSED_IMAGES)
def test_what_is_more_than_data_is_refused(expression, image, reason):
    with pytest.raises(StorableError, match=reason):
        thaw(image_of(image))


@pytest.mark.parametrize(("expression", "image", "reason"), REFUSED_IMAGES)
def test_what_perl_freezes_beyond_data_is_refused(perl, expression, image, reason):
    image = perl(f"Storable::nfreeze({expression})")

    with pytest.raises(StorableError, match=reason):
        thaw(image)


@pytest.mark.parametrize(("image", "reason"), BROKEN_IMAGES.values(), ids=BROKEN_IMAGES)
def test_a_broken_image_is_refused(image, reason):
    with pytest.raises(StorableError, match=reason):
        thaw(image_of(image))


@pytest.mark.parametrize("image", [image for _, image, _ in NETWORK_IMAGES + NATIVE_IMAGES])
def test_every_beginning_of_an_image_is_refused(image):
    whole = image_of(image)

    for size in range(len(whole)):
        with pytest.raises(StorableError):
            thaw(whole[:size])


def laughs(levels):
    """Lists of ten lists each, all the same one: `$x = [($x) x 10] for 1 .. $levels`."""
    tens = bytes([Mark.ARRAY, 0, 0, 0, 10, Mark.REF]) * levels
    empty = bytes([Mark.ARRAY, 0, 0, 0, 0])
    again = [bytes([Mark.REF, Mark.OBJECT, 0, 0, 0, 2 * n]) * 9 for n in range(levels, 0, -1)]
    return b"\x05\x0b" + tens + empty + b"".join(again)


def test_a_list_shared_within_reason_is_read():
    thawed = thaw(laughs(3))

    assert thawed == [[[[]] * 10] * 10] * 10


def test_a_billion_laughs_are_refused():
    with pytest.raises(StorableError, match="repeats too much"):
        thaw(laughs(9))


def test_a_long_string_is_not_repeated_without_end():
    text = bytes([Mark.LSCALAR]) + (2**20).to_bytes(4) + b"x" * 2**20
    again = bytes([Mark.OBJECT]) + (1).to_bytes(4)
    most = MAX_REPEATED // len(text)

    assert len(thaw(b"\x05\x0b\x02" + (most + 1).to_bytes(4) + text + again * most)) == most + 1
    with pytest.raises(StorableError, match="repeats too much"):
        thaw(b"\x05\x0b\x02" + (most + 2).to_bytes(4) + text + again * (most + 1))


def nested(levels):
    value: list[object] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_the_deepest_list_goes_to_perl_and_back(perl):
    image = freeze(nested(MAX_NESTING))

    assert thaw(image) == nested(MAX_NESTING)
    assert thaw(perl("Storable::nfreeze(Storable::thaw($_))", image)) == nested(MAX_NESTING)


def test_a_list_one_deeper_is_neither_written_nor_read(perl):
    image = perl("my $x = []; $x = [$x] for 1 .. $_; Storable::nfreeze($x)", b"%d" % MAX_NESTING)

    with pytest.raises(StorableError, match="too deeply"):
        thaw(image)
    with pytest.raises(TypeError, match="100 lists and dicts within each other"):
        freeze(nested(MAX_NESTING + 1))


def test_lists_piled_up_by_reference_are_no_deeper(perl):
    pile = "my @pile = []; push @pile, [$pile[-1]] for 2 .. $_; Storable::nfreeze(\\@pile)"

    assert thaw(perl(pile, b"%d" % (MAX_NESTING - 1)))[-1] == nested(MAX_NESTING - 1)
    with pytest.raises(StorableError, match="too deeply"):
        thaw(perl(pile, b"%d" % MAX_NESTING))


def test_a_caller_deep_in_the_stack_gets_the_same_errors():
    image = freeze(nested(MAX_NESTING))

    def descend(frames):
        return descend(frames - 1) if frames else thaw(image)

    with pytest.raises(StorableError, match="too deeply"):
        descend(sys.getrecursionlimit() - len(inspect.stack()) - 100)


def is_plain(value):
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(type(key) is str for key in value) and is_plain([*value.values()])
    return value is None or type(value) in (bool, int, float, str, bytes)


def check_anything_is_data_or_refused(image):
    try:
        value = thaw(image)
    except StorableError:
        return
    assert is_plain(value)
    assert json.dumps(value, default=bytes.hex)


ALL_IMAGES = [image_of(image) for _, image, _ in NETWORK_IMAGES + NATIVE_IMAGES + REFUSED_IMAGES]
#: A loaded machine is no failure.
unhurried = settings(deadline=None)

HEADERS = st.sampled_from([b"\x05\x0b", b"\x04\x0b\x0812345678\x04\x08\x08\x08"])
PIECES = st.sampled_from(
    [bytes([mark]) for mark in range(37)]
    + [bytes([mark, 0, 0, 0, size]) for mark in (Mark.ARRAY, Mark.HASH) for size in (1, 2)]
    + [bytes([Mark.FLAG_HASH, 0, 0, 0, 0, size]) for size in (1, 2)]
    + [bytes([Mark.OBJECT, 0, 0, 0, number]) for number in range(6)]
    + [bytes([0, 0, 0, 1, letter]) for letter in b"ab"]  # a key
    + [b"\x0a\x01x", b"\x17\x03\xe2\x98\xba", b"\x11\x01A"]
)


@unhurried
@given(HEADERS, st.binary(max_size=200))
def test_any_bytes_are_data_or_refused(header, rest):
    check_anything_is_data_or_refused(header + rest)


@unhurried
@given(HEADERS, st.lists(PIECES, max_size=40))
def test_any_pieces_of_images_are_data_or_refused(header, pieces):
    check_anything_is_data_or_refused(header + b"".join(pieces))


@unhurried
@given(st.sampled_from(ALL_IMAGES), st.data())
def test_any_change_to_an_image_is_data_or_refused(image, data):
    start = data.draw(st.integers(2, len(image)))
    end = data.draw(st.integers(start, min(start + 4, len(image))))
    inserted = data.draw(st.binary(max_size=4))

    check_anything_is_data_or_refused(image[:start] + inserted + image[end:])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
INT32 = st.integers(-(2**31), 2**31 - 1)
SCALARS = st.none() | INT32 | TEXT


def containers(scalars):
    def around(values):
        return st.lists(values, max_size=5) | st.dictionaries(TEXT, values, max_size=5)

    return around(st.recursive(scalars, around, max_leaves=20))


@unhurried
@given(containers(SCALARS | st.booleans()))
@example({"a": True, "é": [None, -129], "☺" * 100: "x" * 256})
def test_what_is_frozen_is_thawed(value):
    assert thaw(freeze(value)) == value


@unhurried
@given(value=containers(SCALARS | st.booleans()))
def test_perl_reads_what_is_frozen(perl, value):
    assert view_of(perl, freeze(value)) == value


@unhurried
@given(value=containers(SCALARS))
def test_what_perl_makes_of_json_is_read(perl, value):
    given_json = json.dumps(value).encode()

    assert thaw(perl("Storable::nfreeze($JSON->decode($_))", given_json)) == value
    assert thaw(perl("Storable::freeze($JSON->decode($_))", given_json)) == value


def test_an_image_is_minor_5_which_every_perl_since_5_8_reads():
    image = freeze({"to": "é", "n": [1, -300, None]})

    assert image == image_of(
        "0505 190000000002 1702c3a9 00 00000002746f 040200000003 0881 09fffffed4 05 00 000000016e"
    )


def test_fractions_and_large_ints_are_text_as_perl_writes_them():
    image = freeze([0.1, 2.0, -0.5, 2**31, -(2**31) - 1, 1e300, 10**30])

    assert thaw(image) == [
        "0.1",
        2,
        "-0.5",
        "2147483648",
        "-2147483649",
        "1e+300",
        "1000000000000000000000000000000",
    ]


def test_perl_calculates_with_fractions_and_large_ints(perl):
    image = freeze([0.5, 2**40, 1e300])

    assert perl("my $x = Storable::thaw($_); join ' ', map { $_ * 2 } @$x", image) == (
        b"1 2199023255552 2e+300"
    )


def test_perl_may_assign_to_a_bool(perl):
    image = freeze({"urgent": False})

    assert perl("my $x = Storable::thaw($_); $x->{urgent} ||= 'yes'; $x->{urgent}", image) == b"yes"


def test_perl_finds_keys_that_are_latin_1(perl):
    image = freeze({"é": 1, "☺": 2})

    assert perl(r'my $x = Storable::thaw($_); "$$x{chr 233} $$x{chr 9786}"', image) == b"1 2"


def test_bytes_are_bytes_to_perl(perl):
    image = freeze([bytes(range(256)) * 2])

    assert perl("Storable::thaw($_)->[0]", image) == bytes(range(256)) * 2
    assert thaw(image) == [bytes(range(256)) * 2]


def test_a_tuple_is_a_list():
    assert thaw(freeze({"pair": ("a", "b")})) == {"pair": ["a", "b"]}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("text", "str"),
        (None, "NoneType"),
        ([{1, 2}], "set"),
        ({"job": [object()]}, "object"),
        ({1: 2}, "int"),
        ({b"a": 2}, "bytes"),
        ([float("nan")], "nan"),
        ([float("-inf")], "-inf"),
        (["\ud800"], "surrogates"),
        ({"\ud800": 1}, "surrogates"),
        ([10**5000], "digits"),
    ],
)
def test_what_storable_cannot_hold_is_a_type_error(value, reason):
    with pytest.raises(TypeError, match=reason):
        freeze(value)


def test_a_list_that_holds_itself_is_a_type_error():
    value: list[object] = []
    value.append(value)

    with pytest.raises(TypeError, match="within each other"):
        freeze(value)
