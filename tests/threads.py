"""Functions that run at the same time, each in a thread and on connections of its own."""

from concurrent.futures import ThreadPoolExecutor

from django.db import connections


def in_threads(*functions):
    """What the functions return, in their order. Raises what the first to fail raises."""
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(_call, call) for call in functions]]


def _call(function):
    try:
        return function()
    finally:
        connections.close_all()
