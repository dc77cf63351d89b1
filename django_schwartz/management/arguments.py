"""What commands take as arguments: numbers, of which argparse tells, and databases."""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from django.core.management.base import CommandError

from django_schwartz.databases import checked_aliases
from django_schwartz.worker import FOREVER

#: Processes, threads or coroutines, at the most.
MOST = 1000


def databases(aliases: Iterable[str]) -> list[str]:
    """These aliases. Raises CommandError for one that DATABASES lacks."""
    try:
        return checked_aliases(aliases)
    except ValueError as error:
        raise CommandError(str(error)) from error


def at_least(least: int) -> Callable[[str], int]:
    """The type of a number of processes, threads or the like."""

    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= MOST:
            raise argparse.ArgumentTypeError(f"{text} is not between {least} and {MOST}")
        return number

    parse.__name__ = "int"  # as argparse calls it in its message
    return parse


def positive(kind: type[Any]) -> Any:
    """The type of a number, of that kind, that is more than 0."""

    def parse(text: str) -> Any:
        number = kind(text)
        if not 0 < number < FOREVER:
            raise argparse.ArgumentTypeError(f"{text} is not more than 0 and less than {FOREVER}")
        return number

    parse.__name__ = kind.__name__
    return parse
