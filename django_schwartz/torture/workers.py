"""Registers the workers, in the processes of a torture alone: there this is an app."""

from django_schwartz.torture.kinds import KINDS
from django_schwartz.worker import register

for kind in KINDS:
    register(kind)
