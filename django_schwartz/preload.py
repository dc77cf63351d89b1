"""Imported by the fork server, for its forks to have what they need: see `starting`."""

import gc
import os
import signal
import sys

import django

from django_schwartz import child
from django_schwartz.starting import PATH, take_path


def set_up() -> None:
    """Set the project up, and leave no connection that forks would share."""
    child.set_title("fork server")  # first: it is not to be had once the environment was changed
    sys.path[:] = take_path()
    # A signal to all processes of a group: this one lives as long as its forks do.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    django.setup()
    from django.db import connections

    from django_schwartz import client, engine  # noqa: F401

    for connection in connections.all():  # which imports the database's module
        connection.close()
        del connections[connection.alias]
    gc.collect()
    gc.freeze()  # or the next collection would write to what forks share


if PATH in os.environ:
    try:
        set_up()
    except ImportError as error:  # which the fork server would ignore
        raise RuntimeError("The fork server cannot set the project up.") from error
