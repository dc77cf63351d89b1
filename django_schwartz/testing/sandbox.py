"""A connection inside a transaction that behaves as if it were outside: its commits are savepoints.

So a worker runs in a TestCase as it does in a process of its own: its atomic() may be durable, its
on_commit callbacks run, a failed statement spoils no other. The test's transaction keeps it all.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Self

from django.db import connections

from django_schwartz.dialects import dialect_of
from django_schwartz.models import FuncMap
from django_schwartz.performance import StopNow

#: What Django knows of an open transaction, as it is where none is open.
NO_TRANSACTION: dict[str, Any] = {
    "in_atomic_block": False,
    "autocommit": True,
    "commit_on_exit": True,
    "needs_rollback": False,
    "closed_in_transaction": False,
    "run_commit_hooks_on_set_autocommit_on": False,
}
#: Of the same, the lists: each block has its own.
LISTS = ("savepoint_ids", "atomic_blocks", "run_on_commit")


class Crash(StopNow):
    """The worker is dead: nothing that its code says reaches the database any more."""


class Sandbox:
    """While it is entered, the connection's transactions are savepoints of the open one.

    `before_statement` is called with the SQL of each statement, COMMIT included. `crash()` does to
    the database what the death of the process would do.
    """

    def __init__(
        self, alias: str, *, before_statement: Callable[[str], object] = lambda sql: None
    ) -> None:
        self._connection: Any = connections[alias]
        self._dialect = dialect_of(self._connection)
        self._alias = alias
        self._before_statement = before_statement
        self._name = f"sandbox_{id(self)}"
        self._is_open = False
        self._is_crashed = False

    def __enter__(self) -> Self:
        connection = self._connection
        self._outside = {name: getattr(connection, name) for name in (*NO_TRANSACTION, *LISTS)}
        self._overridden = {
            "_set_autocommit": self._set_autocommit,
            "_start_transaction_under_autocommit": self._begin,
            "_commit": self._commit,
            "_rollback": self._rollback,
            "close": self._close,
            "connect": lambda: None,
        }
        self._own = {
            name: own for name, own in vars(connection).items() if name in self._overridden
        }
        vars(connection).update(self._overridden)
        connection.execute_wrappers.insert(0, self._execute)
        self._forget_transaction()
        return self

    def __exit__(self, *exception: object) -> None:
        self._undo()
        self._connection.execute_wrappers.remove(self._execute)
        for name in self._overridden:
            del vars(self._connection)[name]
        vars(self._connection).update(self._own, **self._outside)
        # What was committed in here is not, outside.
        FuncMap.objects.forget(using=self._alias)

    def crash(self) -> None:
        """Lose the open transaction; whatever the code says from now on raises Crash."""
        self._undo()
        self._is_crashed = True

    def _forget_transaction(self) -> None:
        vars(self._connection).update(NO_TRANSACTION, **{name: [] for name in LISTS})

    # What the connection does in the place of its own

    def _execute(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        self._refuse_the_dead()
        self._before_statement(sql)
        if self._is_open or not self._dialect.is_spoilt_by_failure:
            return execute(sql, params, many, context)
        return self._execute_alone(lambda: execute(sql, params, many, context))

    def _execute_alone(self, execute: Callable[[], Any]) -> Any:
        """Execute a statement that is a transaction by itself: when it fails, it alone does."""
        self._begin()
        try:
            result = execute()
        except BaseException:
            self._undo()
            raise
        self._end()
        return result

    def _set_autocommit(self, autocommit: bool) -> None:
        if autocommit:
            self._end()
        else:
            self._begin()

    def _begin(self) -> None:
        self._say(f"SAVEPOINT {self._name}")
        self._is_open = True

    def _commit(self) -> None:
        self._refuse_the_dead()
        self._before_statement("COMMIT")
        if self._is_open:
            self._end()
            self._begin()

    def _rollback(self) -> None:
        if self._is_open:
            self._say(f"ROLLBACK TO SAVEPOINT {self._name}")

    def _end(self) -> None:
        if self._is_open:
            self._say(f"RELEASE SAVEPOINT {self._name}")
            self._is_open = False

    def _undo(self) -> None:
        self._rollback()
        self._end()

    def _close(self) -> None:
        self._undo()
        self._forget_transaction()

    def _refuse_the_dead(self) -> None:
        if self._is_crashed:
            raise Crash

    def _say(self, sql: str) -> None:
        if not self._is_crashed:
            with closing(self._connection.connection.cursor()) as cursor:
                cursor.execute(sql)


@contextmanager
def sandboxes() -> Iterator[None]:
    """Let every connection of this thread that has a transaction open be in a Sandbox."""
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                stack.enter_context(Sandbox(connection.alias))
        yield
