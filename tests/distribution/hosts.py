"""Hosts: network namespaces with names of their own, which reach one server by a wire each."""

import os
import subprocess
from contextlib import contextmanager

from tests.distribution.programs import find

NAMES = ("ann", "bob")
NETWORK = "10.213.7.0/24"
UNSHARE = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"')


def why_not():
    """Why there can be no hosts here, or None."""
    if os.geteuid():
        return "only root makes network namespaces"
    if find("ip") is None:
        return "no ip (apt-get install iproute2)"
    can_enter = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True)
    return "network namespaces are forbidden here" if can_enter.returncode else None


@contextmanager
def hosts():
    made = []
    try:
        for number, name in enumerate(NAMES):
            made.append(Host(name, number))
            made[-1].make()
        yield made
    finally:
        for host in made:
            host.remove()


class Host:
    """`server` is the server's address as this host sees it."""

    def __init__(self, name, number):
        self.name, self._space = name, f"schwartz{os.getpid()}{name}"
        self._outer, self._inner = (f"sz{os.getpid()}{number}{end}" for end in "oi")
        self.server, self._own = (f"10.213.7.{4 * number + end}" for end in (1, 2))

    @property
    def prefix(self):
        """A command that becomes the one after it, on this host."""
        return ["ip", "netns", "exec", self._space, *UNSHARE, self.name]

    def make(self):
        ip("netns", "add", self._space)
        ip("link", "add", self._outer, "type", "veth", "peer", self._inner, "netns", self._space)
        ip("addr", "add", f"{self.server}/30", "dev", self._outer)
        ip("link", "set", self._outer, "up")
        ip("-n", self._space, "addr", "add", f"{self._own}/30", "dev", self._inner)
        self.mend_wire()

    def cut_wire(self):
        ip("-n", self._space, "link", "set", self._inner, "down")

    def mend_wire(self):
        ip("-n", self._space, "link", "set", self._inner, "up")

    def remove(self):
        subprocess.run(["ip", "link", "del", self._outer], capture_output=True)
        subprocess.run(["ip", "netns", "del", self._space], capture_output=True)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)
