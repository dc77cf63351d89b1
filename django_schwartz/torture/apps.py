"""The app of the processes of a torture: it writes to the ledger what happens in them."""

import ctypes
import os
import select
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import SupportsIndex

from django.apps import AppConfig

from django_schwartz.torture.ledger import Event, Ledger
from django_schwartz.torture.rules import Rules

#: Seconds between two looks whether the keeper is there.
LOOK_SECONDS = 0.5
PR_SET_PDEATHSIG = 1


class TortureConfig(AppConfig):
    name = "django_schwartz.torture"
    label = "schwartz_torture"
    verbose_name = "Torture"

    def ready(self) -> None:
        from django_schwartz.torture import plants, recorder

        rules = Rules.given()
        if rules.skew:
            time.sleep = _sleep
        ledger = Ledger(Path(rules.ledger))
        recorder.record_in(ledger)
        plants.plant(rules.plant)
        ledger.write(Event.STARTED)
        os.register_at_fork(after_in_child=partial(ledger.write, Event.STARTED))
        if os.getppid() == rules.keeper:
            _end_with(rules.keeper)


def _sleep(seconds: float | SupportsIndex) -> None:
    """In the place of what fails where the clock is wrong: see hosts.wrong_clock()."""
    select.select([], [], [], float(seconds))


def _end_with(keeper: int) -> None:
    """Have SIGTERM come when the keeper is gone."""
    if sys.platform == "linux":  # a second thread would keep the host from forking
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    else:
        threading.Thread(target=partial(_end_without, keeper), daemon=True).start()


def _end_without(keeper: int) -> None:
    while os.getppid() == keeper:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
