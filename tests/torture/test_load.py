"""The load of a torture."""

from django_schwartz.torture.load import Load


def test_one_that_was_never_started_can_be_stopped():
    Load(client=None, ledger=None, chance=None, rate=1).stop()
