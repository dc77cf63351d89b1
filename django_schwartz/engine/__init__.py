"""The engine: one process that grabs, performs and settles jobs, many at a time."""

from django_schwartz.engine.engine import Engine, Terms
from django_schwartz.engine.ledger import SIZE, Entry, Ledger

__all__ = ["SIZE", "Engine", "Entry", "Ledger", "Terms"]
