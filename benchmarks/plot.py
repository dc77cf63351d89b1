"""Plots in SVG: bars on a logarithmic axis, and lines. Readable on light and on dark pages."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT, ROW, BAR, TOP = 760, 150, 90, 40, 14, 44
HEIGHT = 320
COLOURS = ("#9db4c8", "#1f6f8b", "#b5651d", "#6a8d3a", "#8e4585", "#444444")
STYLE = (
    "text{font:13px sans-serif;fill:#555}.title{font-weight:bold}.grid{stroke:#8884}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}}"
)
NAMES_A_ROW = 4


def svg(height: float, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img"'
        f' aria-label="{escape(title)}"><style>{STYLE}</style>'
    )
    return "\n".join([head, text(8, 18, title, "title"), *parts, "</svg>", ""])


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words)}</text>"


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def legend(names: Sequence[str]) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        row, column = divmod(number, NAMES_A_ROW)
        x, y, colour = LEFT + 150 * column, 27 + 16 * row, COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>')
        parts.append(text(x + 15, y + 9, name))
    return parts


def bars(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """Draw a row a peer, a bar a series, on powers of ten."""
    series = list(dict.fromkeys(name for row in rows.values() for name in row))
    values = [value for row in rows.values() for value in row.values() if value > 0]
    low = math.floor(math.log10(min(values, default=0.1)))
    high = max(0.1, math.log10(max(values, default=1)))

    def place(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / (high - low)

    bottom = TOP + ROW * len(rows)
    parts = legend(series)
    for power in range(low, math.floor(high) + 1):
        parts.append(line(place(10**power), TOP, place(10**power), bottom))
        parts.append(text(place(10**power), bottom + 16, f"{10.0**power:g}", anchor="middle"))
    for number, (name, row) in enumerate(rows.items()):
        y = TOP + ROW * number + 6
        parts.append(text(LEFT - 8, y + 18, name, anchor="end"))
        for index, label in enumerate(series):
            if value := row.get(label, 0):
                parts += bar(place(10**low), y + BAR * index, place(value), index, value)
    return svg(bottom + 24, title, parts)


def bar(left: float, y: float, right: float, series: int, value: float) -> list[str]:
    width = max(1, right - left)
    shape = (
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 2}"'
        f' fill="{COLOURS[series]}"/>'
    )
    return [shape, text(left + width + 5, y + 11, f"{value:.2g}")]


def lines(
    title: str, across: str, up: str, series: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """Draw a line a series, both axes from zero."""
    right = max((x for points in series.values() for x, _ in points), default=1) or 1
    high = 1.15 * max((y for points in series.values() for _, y in points), default=1) or 1
    top, bottom = TOP + 16 * math.ceil(len(series) / NAMES_A_ROW), HEIGHT - 46
    span = WIDTH - 60 - RIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return 60 + span * x / right, bottom - (bottom - top) * y / high

    parts = legend(list(series))
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = place(share * right, share * high)
        parts += [line(60, y, 60 + span, y), text(54, y + 4, f"{share * high:,.0f}", anchor="end")]
        parts.append(text(x, bottom + 17, f"{share * right:,.0f}", anchor="middle"))
    for number, points in enumerate(series.values()):
        path = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in points)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    parts.append(text(60 + span / 2, HEIGHT - 8, across, anchor="middle"))
    parts.append(text(8, top - 10, up))
    return svg(HEIGHT, title, parts)
