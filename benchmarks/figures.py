"""From the records of a session to the figures that are shown: medians, and their range."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIMIT = "raw"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A median, the least and the greatest of several values."""

    median: float
    least: float
    greatest: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Figure | None":
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(statistics.median(known), min(known), max(known), len(known))

    def __str__(self) -> str:
        if self.count == 1 or self.least == self.greatest:
            return shown(self.median)
        return f"{shown(self.median)} ({shown(self.least)}\N{EN DASH}{shown(self.greatest)})"


def shown(value: float) -> str:
    """Return a number with about three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    if value >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}" if value else "0"


class Results:
    """The file of results, without the pieces that went wrong."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self.whole = whole
        self.records: list[Record] = [
            record for record in whole["records"] if not {"error", "wrong"} & record.keys()
        ]
        self.faults = [r for r in whole["records"] if {"error", "wrong"} & r.keys()]

    @property
    def peers(self) -> list[str]:
        return list(dict.fromkeys(record["peer"] for record in self.records))

    def of(self, measure: str, peer: str | None = None, **case: object) -> list[Record]:
        return [
            record
            for record in self.records
            if record["measure"] == measure
            and peer in (None, record["peer"])
            and all(record.get(key) == value for key, value in case.items())
        ]

    def figure(self, measure: str, key: str, peer: str, **case: object) -> Figure | None:
        return Figure.of(record[key] for record in self.of(measure, peer, **case))

    def ratio(self, measure: str, peer: str, **case: object) -> Figure | None:
        """Compare rates with the limit's in the same round; for a drain, its best with one process.

        The limit's own figure is that of its other settings, or of the rounds' ups and downs.
        """
        best = {"variant": "best", "processes": 1} if measure == "drain" else {}
        limits = defaultdict(list)
        for record in self.of(measure, LIMIT, **best):
            limits[record["round"]].append(record["rate"])
        return Figure.of(
            record["rate"] / statistics.median(limits[record["round"]])
            for record in self.of(measure, peer, **case)
            if record["rate"] and record["round"] in limits
        )

    def pickup(self, key: str, peer: str, variant: str, share: float) -> float | None:
        """Return the percentile of all rounds' pickups together, in milliseconds."""
        rounds = self.of("pickup", peer, variant=variant)
        return percentile([value for record in rounds for value in record[key]], share)

    def growth(self, peer: str, kind: str, due: int) -> Figure | None:
        """Compare rates with that of the shortest queue in the same repetition."""
        shortest = min((record["due"] for record in self.of("growth", kind="due")), default=0)
        base = {
            record["repeat"]: record["steady_rate"]
            for record in self.of("growth", peer, kind="due", due=shortest)
        }
        return Figure.of(
            record["steady_rate"] / base[record["repeat"]]
            for record in self.of("growth", peer, kind=kind, due=due)
            if record["steady_rate"] and base.get(record["repeat"])
        )

    def held(self, peer: str, is_held: bool) -> Figure | None:
        """Return what the last tenth of the jobs cost, over what the second did."""
        return Figure.of(
            record["tenths"][1] / record["tenths"][-1]
            for record in self.of("held", peer, held=is_held)
            if record["tenths"][1] and record["tenths"][-1]
        )

    def best_first(self) -> Sequence[str]:
        """Return the peers, the one that drains fastest first."""
        return sorted(
            self.peers,
            key=lambda peer: -median_of(self.ratio("drain", peer, variant="best", processes=1)),
        )


def median_of(figure: Figure | None) -> float:
    return figure.median if figure else 0


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that the share of all values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None
