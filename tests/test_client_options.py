"""What a client is told when it is made, and what it does otherwise."""

import pytest

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import AllDatabasesDead


def test_a_client_takes_no_option_that_does_not_exist():
    with pytest.raises(TypeError, match="prioritise"):
        TheSchwartz(prioritise=True)


def test_a_client_of_a_database_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"^DATABASES has no 'nowhere'; it has .*sqlite"):
        TheSchwartz(["sqlite", "nowhere"])


def test_a_client_of_one_alias_is_told_to_put_it_into_a_list():
    with pytest.raises(TypeError, match=r"\['sqlite'\], not 'sqlite'"):
        TheSchwartz("sqlite")


@pytest.mark.parametrize("what", [5, None, object], ids=repr)
def test_an_ability_that_is_no_worker_is_refused(what):
    with pytest.raises(TypeError, match="by its funcname or its Worker class, not "):
        TheSchwartz().can_do(what)


def test_what_is_not_given_comes_from_the_settings(settings):
    settings.SCHWARTZ = {
        "DATABASES": ["sqlite"],
        "PRIORITIZE": True,
        "FLOOR": 3,
        "BATCH_SIZE": 7,
        "STRICT_REMOVE_ABILITY": True,
        "RETRY_SECONDS": 9,
    }

    client = TheSchwartz()

    assert client.databases.aliases == ["sqlite"]
    assert client.prioritize is True
    assert client.floor == 3
    assert client.batch_size == 7
    assert client.strict_remove_ability is True
    assert client.databases.retry_seconds == 9


def test_the_settings_have_defaults(settings):
    settings.SCHWARTZ = {}

    client = TheSchwartz()

    assert client.databases.aliases == ["default"]
    assert client.prioritize is True
    assert client.floor == 0
    assert client.batch_size == 50
    assert client.strict_remove_ability is False
    assert client.databases.retry_seconds == 30


def test_what_is_given_wins_over_the_settings(settings):
    settings.SCHWARTZ = {"PRIORITIZE": True, "FLOOR": 3, "STRICT_REMOVE_ABILITY": True}

    client = TheSchwartz(
        ["sqlite"], prioritize=True, floor=0, batch_size=1, strict_remove_ability=False
    )

    assert client.databases.aliases == ["sqlite"]
    assert client.floor == 0
    assert client.batch_size == 1
    assert client.strict_remove_ability is False


def test_a_floor_needs_priorities():
    with pytest.raises(ValueError, match="floor only works if prioritize is set"):
        TheSchwartz(prioritize=False, floor=3)


def test_a_floor_set_later_needs_priorities():
    client = TheSchwartz(prioritize=False)

    with pytest.raises(ValueError, match="floor only works if prioritize is set"):
        client.floor = 3


def test_a_client_of_no_database_finds_no_work_and_says_that_it_cannot_dispatch():
    client = TheSchwartz(databases=[])

    assert client.work_once() is False
    assert client.list_jobs("feedmajor") == []
    with pytest.raises(AllDatabasesDead, match="none is configured"):
        client.dispatch_async("feedmajor")


def test_a_verbose_client_tells_its_hook_what_and_of_which_job(database):
    told = []
    client = TheSchwartz(verbose=lambda message, job: told.append((message, job)))
    job = client.lookup_job(client.dispatch_async("feedmajor"))

    job.debug("a word")
    client.debug("another")

    assert told == [("a word", job), ("another", None)]


def test_a_verbose_client_without_a_hook_tells_standard_error(capsys):
    TheSchwartz(verbose=True).debug("a word")

    assert capsys.readouterr().err == "a word\n"


def test_what_is_told_to_standard_error_is_on_one_line(capsys):
    TheSchwartz(verbose=True).debug("a word\nERROR forged\r\x1b[31m")

    assert capsys.readouterr().err == "a word\\nERROR forged\\r\\x1b[31m\n"


def test_a_client_is_silent_unless_it_is_told_to_be_verbose(capsys):
    TheSchwartz().debug("a word")

    assert capsys.readouterr() == ("", "")
