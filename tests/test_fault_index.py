"""The list of faults in docs/faults.rst is whole, and the tests that it names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INDEX = (ROOT / "docs/faults.rst").read_text()
ABSENT = (ROOT / "SECURITY.rst").read_text()


def test_every_fault_of_data_has_an_entry():
    assert re.findall(r"^(M\d+),", INDEX, re.M) == [f"M{number}" for number in range(1, 17)]


def test_every_fault_of_databases_has_an_entry():
    assert re.findall(r"\b(D\d+), ", INDEX) == [f"D{number}" for number in range(1, 24)]


def test_every_fault_of_processes_has_an_entry():
    assert re.findall(r"\b(P\d+), ", INDEX) == [f"P{number}" for number in range(1, 17)]


@pytest.mark.parametrize("number", range(1, 17))
def test_every_threat_has_a_test_or_a_reason(number):
    assert re.search(rf"^S{number}, ", INDEX, re.M) or f"(S{number})" in ABSENT


@pytest.mark.parametrize(("path", "test"), re.findall(r"(tests/\w\S+?\.py)(?:::(\w+))?", INDEX))
def test_a_test_that_is_named_is_there(path, test):
    assert f"def {test}" in (ROOT / path).read_text()
