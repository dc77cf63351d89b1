"""A Galera cluster of MariaDB's: each node has all rows, and takes writes."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests import mariadb, pgbouncer
from tests.distribution.programs import kill
from tests.waiting import until

LIBRARY = "/usr/lib/galera/libgalera_smm.so"
PROGRAMS = ("mariadbd", "mariadb-install-db", "rsync")
OPTIONS = (
    *("--no-defaults", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M"),
    *("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"),
    *("--character-set-server=utf8mb4", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"),
    *("--wsrep-on=ON", f"--wsrep-provider={LIBRARY}", "--wsrep-sst-method=rsync"),
    *("--wsrep-slave-threads=2", "--wsrep-cluster-name=schwartz"),
)
#: A small cache; and a cluster that all left is made anew.
PROVIDER = "gcache.size=16M;pc.recovery=false"
DATABASE = "schwartz"


@dataclass(frozen=True)
class Nodes:
    """The first node on these ports that answers."""

    ports: Sequence[int]

    @property
    def settings(self):
        """The entry of Django's DATABASES."""
        return mariadb.Server(self._url, "").settings | {"NAME": DATABASE}

    @property
    def environment(self):
        """What leads the child processes of a test there."""
        return {
            "DJANGO_SCHWARTZ_TEST_MYSQL": self._url,
            "DJANGO_SCHWARTZ_TEST_NAME": DATABASE,
            "DJANGO_SCHWARTZ_TEST_POSTGRES": "none",
        }

    @property
    def _url(self):
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        # Only of several hosts does MariaDB's library read the port there.
        return f"mysql://root@?hosts={hosts}" if "," in hosts else f"mysql://root@{hosts}"


class Galera:
    """Nodes that are numbered."""

    def __init__(self, programs, nodes):
        self._programs = programs
        self.ports = [pgbouncer.free_port() for _ in range(nodes)]
        self._group_ports = [pgbouncer.free_port() for _ in range(nodes)]
        self._nodes = {}

    def place_of(self, *numbers):
        """The first of these nodes that answers."""
        return Nodes([self.ports[number] for number in numbers])

    def make(self):
        for number, _ in enumerate(self.ports):
            self._install(number)
            self.start(number)
        self.ask(0, f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")

    def start(self, number):
        others = [port for n, port in enumerate(self._group_ports) if n in self._nodes]
        members = ",".join(f"127.0.0.1:{port}" for port in others)
        listen, state = self._group_ports[number], pgbouncer.free_port()
        folder = self._programs.folder
        self._nodes[number] = self._programs.start(
            mariadb.programs()["mariadbd"],
            *OPTIONS,
            f"--datadir={folder / f'data{number}'}",
            f"--socket={folder / f'socket{number}'}",
            f"--port={self.ports[number]}",
            f"--wsrep-node-name=node{number}",
            "--wsrep-node-address=127.0.0.1",
            f"--wsrep-sst-receive-address=127.0.0.1:{state}",
            f"--wsrep-cluster-address=gcomm://{members}",
            f"--wsrep-provider-options={PROVIDER};gmcast.listen_addr=tcp://127.0.0.1:{listen};"
            f"ist.recv_addr=127.0.0.1:{pgbouncer.free_port()}",
        )
        until(lambda: self._is_ready(number), 60)

    def kill(self, number):
        """The host is gone."""
        kill(self._nodes.pop(number).pid)

    def conflicts(self):
        """How many transactions lost to one of another node."""
        names = ("wsrep_local_cert_failures", "wsrep_local_bf_aborts")
        asked = [(n, f"SHOW STATUS LIKE '{name}'") for n in self._nodes for name in names]
        return sum(int(self.ask(*question)) for question in asked)

    def _is_ready(self, number):
        assert self._nodes[number].poll() is None, self._programs.log.read_text()
        return self.ask(number, "SHOW STATUS LIKE 'wsrep_ready'") == "ON"

    def ask(self, number, sql):
        """The last value of the query's first row; None where there is none, or no server."""
        import MySQLdb

        try:
            connection = MySQLdb.connect(host="127.0.0.1", port=self.ports[number], user="root")
        except MySQLdb.OperationalError:
            return None
        with connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        connection.close()
        return row and row[-1]

    def _install(self, number):
        data = self._programs.folder / f"data{number}"
        zones = self._programs.folder / "zones.sql"
        zones.write_text("".join(map(mariadb.zone_as_sql, mariadb.ZONES)))
        zones.chmod(0o644)
        self._programs.run(
            mariadb.programs()["mariadb-install-db"],
            *mariadb.INSTALL_OPTIONS,
            f"--datadir={data}",
            f"--extra-file={zones}",
        )
