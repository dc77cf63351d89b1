"""Waking idle workers: the worker's end (`Ears`) and the dispatcher's (`announce`).

No job is lost without it: a worker that hears nothing polls.
"""

from django_schwartz.wakeup.announcing import announce, announce_dispatch, announce_release
from django_schwartz.wakeup.ears import Ears

__all__ = ["Ears", "announce", "announce_dispatch", "announce_release"]
