"""The engine: one process that grabs, performs and settles jobs, many at a time."""

from django_schwartz.engine.engine import Engine, Terms, set_deadlines
from django_schwartz.engine.holds import LEAST_LEASE_SECONDS
from django_schwartz.engine.ledger import SIZE, Entry, Farewell, Ledger

__all__ = [
    "LEAST_LEASE_SECONDS",
    "SIZE",
    "Engine",
    "Entry",
    "Farewell",
    "Ledger",
    "Terms",
    "set_deadlines",
]
