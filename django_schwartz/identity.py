"""The name that this process goes by in the scoreboard."""

import os
import secrets
import socket
from functools import cache


def process_name() -> str:
    """The host, the process id, and what tells containers of the same host name apart."""
    return _name_of(os.getpid())


@cache
def _name_of(pid: int) -> str:
    return f"{socket.gethostname()[-200:]}:{pid}:{secrets.token_hex(4)}"
