"""What can go wrong with the queue itself, one class a sentence."""

import traceback
from collections.abc import Iterable, Mapping


class SchwartzError(Exception):
    """Something went wrong with the queue."""


class AllDatabasesDead(SchwartzError):
    """No queue database can be used. `unmigrated` are those that have no tables of the queue's."""

    def __init__(
        self, causes: Mapping[str, Exception | None], *, unmigrated: Iterable[str] = ()
    ) -> None:
        self.causes = dict(causes)
        told = "; ".join(f"{alias!r}: {one_line(error)}" for alias, error in self.causes.items())
        cures = "".join(f" Run manage.py migrate --database {alias}." for alias in unmigrated)
        super().__init__(f"No queue database can be used ({told or 'none is configured'}).{cures}")


class InvalidHandle(SchwartzError, ValueError):
    """The text is no handle of a job in one of the queue's databases."""


class UnknownFunction(SchwartzError, LookupError):
    """No worker of that name is registered here."""

    def __init__(self, funcname: str) -> None:
        super().__init__(
            f"No worker named {funcname!r} is registered: import its module, or register() it "
            "in an AppConfig.ready()."
        )


class ArgUnreadable(SchwartzError, ValueError):
    """The stored arg of a job cannot be read."""


class LeaseLost(SchwartzError):
    """The job is not held any more: its lease ended, or somebody settled it."""


class DuplicateJob(SchwartzError):
    """A job with that function and uniqkey is queued already."""


class UnseenRow(SchwartzError):
    """What another transaction committed is not to be seen in this one, which began before."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is there, but not to be seen in this transaction, whose snapshot is older: "
            "make the transaction again."
        )


def one_line(error: object) -> str:
    """The text of an error on one line, for messages that hold several."""
    return " ".join(str(error).split()) or type(error).__name__


def traceback_of(error: BaseException) -> str:
    """The text of an error's traceback, whatever the error does when it is asked for its own."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as fault:  # noqa: BLE001 - formatting runs the exception's own code
        return f"<the traceback cannot be had: {type(fault).__name__}>"
