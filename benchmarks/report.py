"""Write tables and plots of a session: `python3 benchmarks/report.py results.json`.

Into docs/benchmarks: results.inc, named after the file, to be included by docs/benchmarks.rst, and
the plots it shows.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import plot  # noqa: E402
from benchmarks.figures import LIMIT, Figure, Results, median_of, shown  # noqa: E402

NONE = "\N{EM DASH}"
DRAINS = [(variant, processes) for variant in ("default", "best") for processes in (1, 2)]
GROWTHS = {
    "due": "{due:,} due",
    "delayed": "{due:,} due, {delayed:,} for later in front",
    "delayed urgent": "{due:,} due, {delayed:,} for later, more urgent",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "benchmarks")
    options = parser.parse_args()
    results = Results(json.loads(options.results.read_text()))
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in plots(results).items():
        (options.folder / name).write_text(drawing)
    (options.folder / f"{options.results.stem}.inc").write_text(page(results))


def page(results: Results) -> str:
    sections = [
        about(results),
        throughput(results),
        idle(results),
        statements(results),
        growth(results),
        held(results),
        memory(results),
        correctness(results),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def plots(results: Results) -> dict[str, str]:
    """Return the drawings by the names of their files."""
    drawn = {}
    if results.of("drain"):
        rows = {
            peer: {
                variant: median_of(results.ratio("drain", peer, variant=variant, processes=1))
                for variant in ("default", "best")
            }
            for peer in results.best_first()
        }
        title = "Jobs a second of one worker process, as a share of the limit's"
        drawn["drain.svg"] = plot.bars(title, rows)
    if series := {
        record["peer"]: [(done, resident) for done, resident, _ in record["series"]]
        for record in results.of("memory")
    }:
        title = "Memory of a worker while it performs jobs"
        drawn["memory.svg"] = plot.lines(title, "jobs performed", "MiB resident", series)
    return drawn


def about(results: Results) -> str:
    whole, machine = results.whole, results.whole["machine"]
    server = machine["postgresql"]["server_version"].split()[0]
    rounds = 1 + max((record["round"] for record in results.records), default=0)
    durable = "fsync and synchronous_commit on" if machine["is_durable"] else "NOT durable"
    versions = ", ".join(
        f"{peer} {of[peer]}" for peer, of in sorted(whole["versions"].items()) if peer in of
    )
    command = re.sub(r" --output \S+", "", whole["command"])
    notes = [
        f"``{command}``, {whole['started']} UTC, {rounds} round(s), seed {whole['seed']}.",
        (
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB;"
            f" PostgreSQL {server}, {durable}, autovacuum {machine['postgresql']['autovacuum']};"
            f" Python {machine['python']}."
        ),
        f"{versions}.",
    ]
    notes += [f"Left out: {peer} ({why[:80]})." for peer, why in whole["left_out"].items()]
    if whole["quick"]:
        notes.append("**A quick run**: it shows that everything works, and no figure to quote.")
    return "\n\n".join(notes)


def throughput(results: Results) -> str:
    if not any(results.of(measure) for measure in ("enqueue", "bulk", "drain")):
        return ""
    heads = ["", "one a commit", "by the thousand"]
    heads += [f"{variant} \N{MULTIPLICATION SIGN}{n}" for variant, n in DRAINS]
    rows = [
        [
            peer,
            results.ratio("enqueue", peer),
            results.ratio("bulk", peer),
            *(results.ratio("drain", peer, variant=v, processes=n) for v, n in DRAINS),
        ]
        for peer in results.best_first()
    ]
    limits = ", ".join(
        f"{name} {shown(figure.median)}"
        for name, figure in (
            ("one a commit", results.figure("enqueue", "rate", LIMIT)),
            ("by the thousand", results.figure("bulk", "rate", LIMIT)),
            ("drained", results.figure("drain", "rate", LIMIT, variant="best", processes=1)),
        )
        if figure
    )
    picture = ".. image:: benchmarks/drain.svg\n   :alt: Jobs a second of one worker process"
    return section(
        "Dispatch and work",
        "Jobs a second over those of the raw loop in the same round: median (least\N{EN DASH}"
        "greatest). The first two columns dispatch; the others work off a queue of no-op jobs with"
        " 1 and 2 processes, all over the raw loop's best with one. The limit, in jobs a second"
        f" here: {limits}.",
        table(heads, rows),
        picture if results.of("drain") else "",
    )


def idle(results: Results) -> str:
    rows = []
    for peer in results.peers:
        for variant in ("default", "best"):
            key = "milliseconds"
            row = [
                *(results.pickup(key, peer, variant, share) for share in (0.5, 0.99)),
                results.pickup("milliseconds_since_begun", peer, variant, 0.5),
                *(
                    results.figure("idle", key, peer, variant=variant)
                    for key in ("statements_per_second", "cpu_percent")
                ),
                results.figure("idle", "resident_mib", peer, variant=variant),
                results.figure("idle", "proportional_mib", peer, variant=variant),
            ]
            if any(cell is not None for cell in row):
                rows.append([f"{peer}, {variant}", *row])
    if not rows:
        return ""
    heads = ["", "p50 ms", "p99 ms", "p50 ms, dispatch included", "statements/s", "CPU %"]
    return section(
        "An idle worker",
        "How long a job waits that comes to an idle worker (from the moment when its dispatch"
        " returned), and what it costs to wait: all processes of the worker together.",
        table([*heads, "RSS MiB", "PSS MiB"], rows),
    )


def statements(results: Results) -> str:
    keys = ["dispatch", "job"]
    rows = [
        [
            f"{peer}, {variant}",
            *(
                results.figure("statements", key, peer, variant=variant)
                for key in (
                    *(f"statements_per_{key}" for key in keys),
                    "round_trips_per_job",
                    "commits_per_job",
                    "wal_bytes_per_job",
                )
            ),
        ]
        for peer in results.peers
        for variant in ("default", "best")
        if results.of("statements", peer, variant=variant)
    ]
    heads = ["", "statements a dispatch", "statements a job", "round trips a job"]
    return rows and section(
        "Statements",
        "What one process asks of the database, counted on the way to it; its start is among it.",
        table([*heads, "commits a job", "WAL bytes a job"], rows),
    )


def growth(results: Results) -> str:
    cases = {
        (record["kind"], record["due"]): GROWTHS[record["kind"]].format(**record)
        for record in results.of("growth")
    }
    order = sorted(cases, key=lambda case: (list(GROWTHS).index(case[0]), case[1]))
    rows = [
        [peer, *(results.growth(peer, *case) for case in order)]
        for peer in results.peers
        if results.of("growth", peer)
    ]
    return rows and section(
        "Long queues",
        "Jobs a second at the peer's best settings, over those with its shortest queue. The first"
        " tenth of the jobs, with the worker's start, is not counted.",
        table(["", *(cases[case] for case in order)], rows),
    )


def held(results: Results) -> str:
    rows = [
        [
            peer,
            results.figure("held", "jobs", peer),
            results.held(peer, is_held=False),
            results.held(peer, is_held=True),
        ]
        for peer in results.peers
        if results.of("held", peer)
    ]
    return rows and section(
        "A transaction held open",
        "What a job of the last tenth costs over one of the second (the first has the worker's"
        " start in it), while somebody's transaction keeps every row that was deleted or changed"
        " from being vacuumed.",
        table(["", "jobs", "without", "with it"], rows),
    )


def memory(results: Results) -> str:
    rows = [
        [
            record["peer"],
            Figure.of([record["jobs"]]),
            *(Figure.of([at(record["series"], share)]) for share in (0.1, 0.5, 1)),
        ]
        for record in results.of("memory")
    ]
    picture = ".. image:: benchmarks/memory.svg\n   :alt: Memory over the jobs performed"
    return rows and section(
        "Memory",
        "MiB resident, all processes of the worker together.",
        table(["", "jobs", "after a tenth", "half way", "at the end"], rows),
        picture,
    )


def at(series: Sequence[Sequence[float]], share: float) -> float:
    """Return the memory when that share of the jobs was performed."""
    last = series[-1][0]
    return next(resident for done, resident, _ in series if done >= share * last)


def correctness(results: Results) -> str:
    performed = sum(record.get("jobs", 0) for record in results.records)
    summary = (
        f"{len(results.records):,} pieces, {performed:,} jobs: each performed exactly once,"
        " nothing left in the queue, nothing performed before its time."
    )
    lines = [summary]
    for record in results.faults:
        keys = ("variant", "processes", "kind", "due", "held")
        case = ", ".join(f"{key} {record[key]}" for key in keys if key in record)
        why = record.get("error") or ", ".join(f"{k}: {v}" for k, v in record["wrong"].items() if v)
        first = " ".join(why.split())[:160]
        lines.append(f"* Left out: {record['peer']}, {record['measure']} ({case}): {first}")
    return section("What was checked", *lines)


def section(title: str, *parts: str) -> str:
    return "\n\n".join([f"{title}\n{'-' * len(title)}", *(part for part in parts if part)])


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :stub-columns: 1", ""]
    for row in (heads, *rows):
        for number, cell in enumerate(row):
            value = shown(cell) if isinstance(cell, float) else NONE if cell is None else str(cell)
            lines.append(f"   {'  -' if number else '* -'} {value}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
