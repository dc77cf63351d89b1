"""A cluster that fails over by itself: Patroni on each host, and etcd to agree by."""

import json
from contextlib import suppress
from urllib.request import urlopen

import psycopg

from tests import pgbouncer
from tests.distribution.pair import ReadWrite, ask
from tests.distribution.programs import find, kill, processes_of
from tests.waiting import until

PROGRAMS = ("patroni", "etcd")
NODES = 2

#: The others take over from a leader that they have not heard of for `ttl` seconds: this is as
#: short as Patroni allows.
SHARED = {
    "ttl": 5,
    "loop_wait": 1,
    "retry_timeout": 2,
    "synchronous_mode": True,
    "postgresql": {
        "use_pg_rewind": True,
        "parameters": {"max_connections": 60, "wal_log_hints": "on"},
    },
}
INITDB = [{"auth": "trust"}, {"encoding": "UTF8"}, {"locale": "C"}, {"wal-segsize": "1"}, "no-sync"]
TRUST = [
    "local all all trust",
    "host all all 127.0.0.1/32 trust",
    "host replication all 127.0.0.1/32 trust",
]
ROLES = {key: {"username": "postgres"} for key in ("superuser", "replication", "rewind")}


class Cluster:
    """Nodes that are numbered. Each is like a host: its Patroni and its server go together."""

    def __init__(self, programs, binaries):
        self._programs, self._binaries = programs, binaries
        self._etcd = f"127.0.0.1:{pgbouncer.free_port()}"
        self._ports = [pgbouncer.free_port() for _ in range(NODES)]
        self._nodes = {}

    @property
    def place(self):
        return ReadWrite(self._ports)

    def make(self):
        self._start_etcd()
        for number in range(NODES):
            self.start(number)
            until(lambda number=number: self._role_of(number), 60)
        until(self.has_synchronous_standby, 60)

    def start(self, number):
        file = self._programs.folder / f"node{number}.yml"
        file.write_text(json.dumps(self._settings_of(number)))  # JSON is YAML
        self._nodes[number] = self._programs.start(find("patroni"), file)

    def kill(self, number):
        """The host is gone."""
        kill(self._nodes.pop(number).pid, *processes_of(self._data(number)))

    def leader(self):
        """The number of the node that takes writes, if there is one."""
        return next((n for n in self._nodes if self._role_of(n) == "primary"), None)

    def standby(self):
        """The number of a node that takes none, if there is one."""
        return next((n for n in self._nodes if self._role_of(n) == "standby"), None)

    def has_synchronous_standby(self):
        return self._ask(self.leader(), "SELECT sync_state FROM pg_stat_replication") == "sync"

    def _role_of(self, number):
        sql = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END"
        return self._ask(number, sql)

    def _ask(self, number, sql):
        """The only value that the query gives of that node; None where it gives none."""
        with suppress(psycopg.OperationalError):
            return ask(self._ports[number], sql)
        return None

    def _data(self, number):
        return self._programs.folder / f"data{number}"

    def _start_etcd(self):
        peer = f"http://127.0.0.1:{pgbouncer.free_port()}"
        client = f"http://{self._etcd}"
        self._programs.start(
            find("etcd"),
            f"--data-dir={self._programs.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )
        until(lambda: is_healthy(f"{client}/health"))

    def _settings_of(self, number):
        rest, server = f"127.0.0.1:{pgbouncer.free_port()}", f"127.0.0.1:{self._ports[number]}"
        return {
            "scope": "schwartz",
            "name": f"node{number}",
            "etcd3": {"host": self._etcd},
            "restapi": {"listen": rest, "connect_address": rest},
            "bootstrap": {"dcs": SHARED, "initdb": INITDB},
            "postgresql": {
                "listen": server,
                "connect_address": server,
                "data_dir": str(self._data(number)),
                "bin_dir": str(self._binaries),
                "pg_hba": TRUST,
                "authentication": ROLES,
                "parameters": {"unix_socket_directories": str(self._programs.folder)},
            },
        }


def is_healthy(url):
    try:
        with urlopen(url) as answer:
            return json.load(answer)["health"] == "true"
    except OSError:
        return False
