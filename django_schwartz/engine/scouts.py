"""Scouts: they find out whether a dead database answers again, while the others are served."""

from collections.abc import Callable, Mapping
from functools import partial

from django.db import Error as AnyDatabaseError
from django.db import connections

from django_schwartz.databases import Databases
from django_schwartz.engine.settler import Settler


class Scouts:
    """One for each database, in the thread of its settler; a connection may take its time there.

    `on_return` is called in that thread when a database answered.
    """

    def __init__(
        self,
        databases: Databases,
        settlers: Mapping[str, Settler],
        *,
        on_return: Callable[[], object],
    ) -> None:
        self._databases = databases
        self._settlers = settlers
        self._on_return = on_return
        self._are_out: set[str] = set()
        self._are_back: set[str] = set()

    def may_ask(self, alias: str) -> bool:
        """Whether to ask this database for jobs now; where that is a question, a scout goes.

        One that answered is asked once. That tells if it lives: it may take no writes.
        """
        if self._databases.lives(alias) or len(self._databases.aliases) == 1:
            return True
        if alias in self._are_back:
            self._are_back.remove(alias)
            return True
        if alias not in self._are_out:
            self._are_out.add(alias)
            self._settlers[alias].call(partial(self._look, alias))
        return False

    def _look(self, alias: str) -> None:
        try:
            connections[alias].close()  # an old one may have been cut, which says nothing of today
            with self._databases.failing_over(alias, revives=False):
                with connections[alias].cursor() as cursor:
                    cursor.execute("SELECT 1")
                self._are_back.add(alias)
                self._on_return()
        except AnyDatabaseError:  # an answer, though none that helps
            self._are_back.add(alias)
        finally:
            self._are_out.discard(alias)
