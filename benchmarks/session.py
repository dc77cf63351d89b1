"""A session: finds the servers, installs the peers, measures in rounds, writes the results."""

import argparse
import contextlib
import json
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measures
from benchmarks.bench import FULL, QUICK, Bench, warm_up
from benchmarks.marathon import LONG
from benchmarks.measures import INTERLEAVED
from benchmarks.peers import PEERS
from benchmarks.peers.peer import Peer
from benchmarks.places import CACHE
from benchmarks.redis import Redis, empty_database
from benchmarks.stage import DURABLE, Stage
from tests.postgres import find_or_start

#: What is measured unless --only says otherwise: memory over a million jobs takes its time,
#: and several databases servers of their own.
USUAL = [name for name in (*INTERLEAVED, *LONG) if name not in ("memory", "databases")]


def main() -> None:
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with empty_database() as redis:
        stage = open_stage(redis)
        try:
            measure_all(stage, options)
        finally:
            stage.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 benchmarks/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: does it work?")
    parser.add_argument("--rounds", type=int, help="5; 1 if quick")
    parser.add_argument("--peers", type=names_of(PEERS), default=[*PEERS], metavar="A,B")
    parser.add_argument(
        "--only",
        type=names_of((*INTERLEAVED, *LONG)),
        default=USUAL,
        metavar="MEASURE,MEASURE",
        help=f"of {', '.join((*INTERLEAVED, *LONG))}; all but memory and databases otherwise",
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument(
        "--output", type=Path, default=CACHE / "results.json", help="the file of results"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.command = " ".join(["python3 benchmarks/run.py", *sys.argv[1:]])
    return options


def names_of(known: Any) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def open_stage(redis: Redis | None) -> Stage:
    server = find_or_start()
    if server is None:
        sys.exit("A PostgreSQL server is needed.")
    stage = Stage(server, redis)
    settings = stage.settings()
    print(f"{server.description}: {settings}")
    if not is_durable(settings):
        print("WARNING: this server does not keep what it commits; no figure says anything.")
    return stage


def is_durable(settings: dict[str, str]) -> bool:
    return all(settings[name] == value for name, value in DURABLE.items())


def measure_all(stage: Stage, options: argparse.Namespace) -> None:
    scale = QUICK if options.quick else FULL
    bench = Bench(stage, scale, random.Random(options.seed))
    notes = Notes(options, machine(stage))
    peers = [peer for name in options.peers if is_ready(peer := PEERS[name], stage, bench, notes)]
    try:
        for number in range(options.rounds):
            take_round(bench, peers, options.only, number, notes)
        for name in [name for name in LONG if name in options.only]:
            for peer in bench.chance.sample(peers, len(peers)):
                for _ in measures.cases(name, peer):
                    notes.take_long(bench, peer, name)
    finally:
        notes.write()
        print(f"python3 benchmarks/report.py {options.output}")


def take_round(
    bench: Bench, peers: list[Peer], only: list[str], number: int, notes: "Notes"
) -> None:
    """Take every measure of every peer once, in random order."""
    pieces = [
        (peer, name, case)
        for peer in peers
        for name in INTERLEAVED
        if name in only
        for case in measures.pieces_of_round(name, peer)
    ]
    bench.chance.shuffle(pieces)
    for peer, name, case in pieces:
        notes.take(bench, peer, name, case, number)
    notes.write()


def is_ready(peer: Peer, stage: Stage, bench: Bench, notes: "Notes") -> bool:
    """Install the peer and see whether it works."""
    why_not = peer.why_not()
    if not peer.is_in_postgresql and stage.redis is None:
        why_not = "no Redis server, or no empty database there"
    try:
        if why_not is None:
            peer.install()
            notes.versions[peer.name] = peer.versions()
            stage.make_template(peer)
            warm_up(bench, peer)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are measured
        why_not = f"{type(error).__name__}: {error}"
    if why_not:
        print(f"{peer.name} is left out: {why_not}", flush=True)
        notes.left_out[peer.name] = why_not
    return why_not is None


def machine(stage: Stage) -> dict[str, Any]:
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    settings = stage.settings()
    return {
        "processor": model[0] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30),
        "python": platform.python_version(),
        "postgresql": settings,
        "is_durable": is_durable(settings),
    }


class Notes:
    """Everything that was found, as it goes to the file of results."""

    def __init__(self, options: argparse.Namespace, about: dict[str, Any]) -> None:
        self.options = options
        self.machine = about
        self.started = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        self.versions: dict[str, dict[str, str]] = {}
        self.left_out: dict[str, str] = {}
        self.records: list[dict[str, Any]] = []

    def take(self, bench: Bench, peer: Peer, name: str, case: dict[str, Any], number: int) -> None:
        with self.catching(peer, name, {"round": number, **case}):
            result = INTERLEAVED[name](bench, peer, **case)
            self.add(peer, name, {"round": number, **case, **result})

    def take_long(self, bench: Bench, peer: Peer, name: str) -> None:
        with self.catching(peer, name, {}):
            for result in LONG[name](bench, peer):
                self.add(peer, name, {"round": result.get("repeat", 0), **result})
        self.write()

    @contextlib.contextmanager
    def catching(self, peer: Peer, name: str, case: dict[str, Any]) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a peer's fault ends no session
            self.add(peer, name, {**case, "error": f"{type(error).__name__}: {error}"})

    def add(self, peer: Peer, name: str, result: dict[str, Any]) -> None:
        load = round(os.getloadavg()[0], 2)
        self.records.append({"peer": peer.name, "measure": name, "load": load, **result})
        told = {
            key: f"{value:.1f}" if isinstance(value, float) else value
            for key, value in result.items()
            if not isinstance(value, list)
        }
        print(f"{peer.name:16} {name:10} {told}", flush=True)

    def write(self) -> None:
        self.options.output.parent.mkdir(parents=True, exist_ok=True)
        whole = {
            "command": self.options.command,
            "started": self.started,
            "quick": self.options.quick,
            "seed": self.options.seed,
            "machine": self.machine,
            "versions": self.versions,
            "left_out": self.left_out,
            "records": self.records,
        }
        self.options.output.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
