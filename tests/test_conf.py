"""The SCHWARTZ setting: every key has a default, and what is set holds from then on."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_schwartz.conf import KEYS, conf
from tests.conftest import ROOT

DEFAULTS = {
    "databases": ("default",),
    "prioritize": True,
    "floor": 0,
    "batch_size": 50,
    "strict_remove_ability": False,
    "retry_seconds": 30,
    "poll_seconds": 1,
    "lease_seconds": 60,
    "deadline_seconds": 5,
    "max_arg_bytes": 1_048_576,
}

OTHERS = {
    "databases": ["sqlite", "postgresql"],
    "prioritize": False,
    "floor": 3,
    "batch_size": 7,
    "strict_remove_ability": True,
    "retry_seconds": 0.5,
    "poll_seconds": 0.1,
    "lease_seconds": 5,
    "deadline_seconds": 2.5,
    "max_arg_bytes": 100,
}


def test_an_empty_dict_gives_every_key_its_default(settings):
    settings.SCHWARTZ = {}

    assert asdict(conf()) == DEFAULTS


def test_a_project_without_the_setting_has_the_defaults(settings):
    del settings.SCHWARTZ

    assert asdict(conf()) == DEFAULTS


def test_the_keys_are_the_fields_in_capitals():
    assert KEYS == (
        "DATABASES",
        "PRIORITIZE",
        "FLOOR",
        "BATCH_SIZE",
        "STRICT_REMOVE_ABILITY",
        "RETRY_SECONDS",
        "POLL_SECONDS",
        "LEASE_SECONDS",
        "DEADLINE_SECONDS",
        "MAX_ARG_BYTES",
    )


@pytest.mark.parametrize("name", OTHERS)
def test_a_key_that_is_set_holds_and_the_others_keep_their_defaults(settings, name):
    settings.SCHWARTZ = {name.upper(): OTHERS[name]}

    assert asdict(conf()) == {**DEFAULTS, name: OTHERS[name]}


def test_override_settings_holds_within_its_block():
    with override_settings(SCHWARTZ={"BATCH_SIZE": 7}):
        within = conf().batch_size
    after = conf().batch_size

    assert within == 7
    assert after == 50


def test_blocks_within_each_other_hold_one_after_the_other():
    seen = []

    with override_settings(SCHWARTZ={"FLOOR": 1}):
        with override_settings(SCHWARTZ={"BATCH_SIZE": 7}):
            seen.append((conf().floor, conf().batch_size))
        seen.append((conf().floor, conf().batch_size))

    assert seen == [(0, 7), (1, 50)]


def test_a_change_of_another_setting_leaves_the_settings_as_they_were_read():
    before = conf()

    with override_settings(DEBUG=True):
        within = conf()

    assert within is before


def test_an_unknown_key_is_improperly_configured_and_the_known_ones_are_told(settings):
    settings.SCHWARTZ = {"BATCH_SIZE": 7, "RETRY_SECOND": 3}

    with pytest.raises(ImproperlyConfigured) as raised:
        conf()

    assert str(raised.value) == (
        "SCHWARTZ has no key 'RETRY_SECOND'. Known: DATABASES, PRIORITIZE, FLOOR, BATCH_SIZE, "
        "STRICT_REMOVE_ABILITY, RETRY_SECONDS, POLL_SECONDS, LEASE_SECONDS, DEADLINE_SECONDS, "
        "MAX_ARG_BYTES."
    )


def test_a_key_in_small_letters_is_unknown(settings):
    settings.SCHWARTZ = {"batch_size": 7}

    with pytest.raises(ImproperlyConfigured, match="no key 'batch_size'"):
        conf()


def test_an_unknown_key_is_told_of_again_and_again(settings):
    settings.SCHWARTZ = {"NONSENSE": 1}

    for _ in range(2):
        with pytest.raises(ImproperlyConfigured):
            conf()


def test_what_was_read_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        conf().batch_size = 7


def test_the_import_reads_no_setting():
    program = "import django_schwartz.conf as conf; print(conf.conf.cache_info().currsize)"

    process = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"],
        capture_output=True,
        text=True,
    )

    assert (process.stdout, process.stderr) == ("0\n", "")
