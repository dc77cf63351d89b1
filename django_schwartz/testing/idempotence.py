"""check_idempotent: whether a job may be killed anywhere, and run again."""

import linecache
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import count, takewhile
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import django
from django.db import transaction

from django_schwartz.abilities import Ability
from django_schwartz.client import TheSchwartz
from django_schwartz.conf import conf
from django_schwartz.models import Job, JobHandle
from django_schwartz.performance import Performance
from django_schwartz.testing.rows import Row, Table, differences, primary_keys, snapshot, tables
from django_schwartz.testing.rows import varying as varying_columns
from django_schwartz.testing.sandbox import Crash, Sandbox
from django_schwartz.testing.work import recorded

#: Folders of code that is not the project's.
OURS = (str(Path(django.__file__).parent) + os.sep, str(Path(__file__).parents[1]) + os.sep)

T = TypeVar("T")


class NotIdempotent(AssertionError):
    """Killed at this statement and run again, a worker leaves other rows than run once."""

    def __init__(self, *, statement: str, line: str, differences: list[str]) -> None:
        self.statement, self.line, self.differences = statement, line, differences
        super().__init__(
            "\n".join(
                [
                    f"Killed before {line}",
                    f"  {statement}",
                    "and run again, it leaves other rows than run once:",
                    *(f"  {difference}" for difference in differences),
                ]
            )
        )


def check_idempotent(
    worker: Ability, arg: object = None, *, databases: Iterable[str] = (), **fields: Any
) -> None:
    """Assert that the worker may be killed anywhere and run again, with that arg.

    Runs it once; then again and again, killed before each of its database statements in turn and
    run to its end after that. Each time the rows of all models in these databases, the queue's
    unless others are given, must be as they are after running once. Raises NotIdempotent for the
    first statement where they are not, AssertionError when the job is not completed at all.

    Nothing of it stays. What a worker does outside the databases is done each time.
    """
    aliases = tuple(dict.fromkeys([*conf().databases, *databases]))
    _undone(aliases, lambda: Check(worker, arg, aliases, fields).run())


class Check:
    """One job, run over and over, from the same rows each time."""

    def __init__(
        self, worker: Ability, arg: object, aliases: tuple[str, ...], fields: dict[str, Any]
    ) -> None:
        self.aliases = aliases
        self.client = TheSchwartz(list(conf().databases))
        self.client.can_do(worker)
        [funcname] = self.client.all_abilities
        self.handle: JobHandle = self.client.dispatch_async(funcname, arg, **fields)
        self.known = primary_keys(tables(aliases))

    def run(self) -> None:
        self.once = self._anew(self._run_once)
        self.varying = varying_columns(self.once, self._anew(self._run_once))
        numbers = count(1)
        while self._anew(lambda: self._kill_and_run_again(next(numbers))):
            pass

    def _anew(self, run: Callable[[], T]) -> T:
        return _undone(self.aliases, run)

    def _run_once(self) -> dict[Table, Counter[Row]]:
        if trouble := self._live(Killer()):
            raise AssertionError(f"The job is not completed when it is run once: {trouble}")
        return snapshot(self.known)

    def _kill_and_run_again(self, number: int) -> bool:
        """Whether there is a statement of that number. Raises NotIdempotent."""
        killer = Killer(at=number)
        self._live(killer)
        if not killer.has_killed:
            return False
        self._release()
        if self.handle.is_pending and (trouble := self._live(Killer())):
            self._fail(killer, [f"run again, it was not completed: {trouble}"])
        if different := differences(self.once, snapshot(self.known), self.varying):
            self._fail(killer, different)
        return True

    def _live(self, killer: "Killer") -> str:
        """Perform the job as a process of its own does, and tell why it is not completed."""
        with recorded() as performed, ExitStack() as stack:
            killer.sandboxes = [
                stack.enter_context(Sandbox(alias, before_statement=killer))
                for alias in self.aliases
            ]
            with suppress(Crash):
                self.client.grab_and_work_on(self.handle)
        if not performed:
            return "it has no verdict"
        return "" if performed[-1].is_completed else str(performed[-1])

    def _release(self) -> None:
        """As the supervisor of a dead worker does."""
        Job.objects.using(self.handle.alias).filter(pk=self.handle.jobid).update(grabbed_until=0)

    @staticmethod
    def _fail(killer: "Killer", different: list[str]) -> NoReturn:
        raise NotIdempotent(statement=killer.statement, line=killer.line, differences=different)


class Killer:
    """Kills at a statement, counted over all databases; at none, unless told."""

    def __init__(self, *, at: int = 0) -> None:
        self._at = at
        self._seen = 0
        self.sandboxes: list[Sandbox] = []
        self.statement = self.line = ""

    @property
    def has_killed(self) -> bool:
        return bool(self.statement)

    def __call__(self, sql: str) -> None:
        self._seen += 1
        if self._seen == self._at:
            self.statement, self.line = " ".join(sql.split())[:200], _line_of_the_worker()
            for sandbox in self.sandboxes:
                sandbox.crash()
            raise Crash


def _line_of_the_worker() -> str:
    """Where in the project's code the statement comes from."""
    frames = list(takewhile(lambda frame: not _performs(frame), _callers()))
    theirs = [frame for frame in frames if not frame.f_code.co_filename.startswith(OURS)]
    if not theirs or not frames[-1].f_back:
        return "a statement of the queue's own"
    path, number = theirs[0].f_code.co_filename, theirs[0].f_lineno
    return f"{Path(path).name}:{number}: {linecache.getline(path, number).strip()}"


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame:
        yield frame
        frame = frame.f_back


def _performs(frame: FrameType) -> bool:
    return frame.f_code is Performance._call.__code__


def _undone(aliases: Iterable[str], run: Callable[[], T]) -> T:
    """What the run gives, in a transaction of each database that is rolled back."""
    with ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(transaction.atomic(using=alias))
            stack.callback(transaction.set_rollback, True, using=alias)
        return run()
