"""Settings whose LOGGING silences what was made before it, as Python's default is."""

from tests.settings import *  # noqa: F403

LOGGING = {
    "version": 1,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
