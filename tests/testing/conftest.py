"""Django's TestCase, for what must run inside one."""

import unittest

import pytest
from django.test import TestCase


@pytest.fixture
def in_test_case(database):
    """Run a function inside a TestCase of Django's, and give what it returns."""
    given = []

    def run(test):
        class Case(TestCase):
            databases = {database}

            def test_it(self):
                given.append(test())

        result = unittest.TestResult()
        unittest.TestSuite([Case("test_it")]).run(result)
        for _, text in result.errors + result.failures:
            raise AssertionError(text)
        return given.pop()

    return run
