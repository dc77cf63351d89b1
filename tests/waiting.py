"""Waiting for what another process does."""

import threading
import time


def until(condition, seconds=60):
    """Look until the condition holds, and give its value; fail after so many seconds."""
    pause, end = threading.Event(), time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{condition} did not hold within {seconds} s"
        pause.wait(0.02)
    return value
