"""Django's TestCase, for what must run inside one."""

import unittest


def run_case(case, database):
    """Run the tests of a TestCase class on that database; the first that fails fails the caller."""
    case.databases = {database}
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    for _, text in result.errors + result.failures:
        raise AssertionError(text)
    assert result.testsRun
