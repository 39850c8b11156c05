"""The offloading analysis as a page: a table, and a figure of a job's time against the uplink."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from montage_ai.events import counted
from montage_ai.offload.analysis import Analysis, Comparison

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 260, 56, 34, 14
_LOW, _HIGH = 1.0, 1000.0  # Mbit/s that the figure shows
_HERE, _THERE, _MINE = "#1f6f54", "#b3541e", "#888"

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Offloading: where the heavy steps end soonest</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }} th, td {{ text-align: left; padding: .3rem .6rem }}
th {{ border-bottom: 2px solid #ddd }} td {{ border-bottom: 1px solid #eee }} figure {{ margin: 2rem 0 }}
svg text {{ font: 12px system-ui, sans-serif; fill: #444 }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #181818; color: #ddd }} svg text {{ fill: #bbb }} th, td {{ border-color: #444 }} }}
</style>
<h1>Where the heavy steps end soonest</h1>
{body}
</html>
"""


def as_html(analysis: Analysis) -> str:
    """The whole page; it needs nothing from elsewhere."""
    parts = [_table(COLUMNS, [row(one) for one in analysis.comparisons])] if analysis.comparisons else [NOTHING]
    parts += [
        f"<figure><figcaption>{escape(_caption(one))}</figcaption>{figure(one)}</figure>"
        for one in analysis.comparisons
    ]
    parts.append("<h2>How right the predictions were</h2>")
    parts.append(_table(_ACCURACY, [_accuracy_row(analysis, index) for index in range(len(analysis.accuracy))]))
    return _PAGE.format(body="\n".join(parts))


def as_markdown(analysis: Analysis) -> str:
    """The same without the figures."""
    lines = ["# Where the heavy steps end soonest", ""]
    lines += _marked(COLUMNS, [row(one) for one in analysis.comparisons]) if analysis.comparisons else [NOTHING]
    lines += ["", "## How right the predictions were", ""]
    lines += _marked(_ACCURACY, [_accuracy_row(analysis, index) for index in range(len(analysis.accuracy))])
    return "\n".join(lines) + "\n"


def figure(one: Comparison) -> str:
    """Seconds against the uplink in Mbit/s, both on logarithmic axes: here (level) and there (falling)."""
    rates = [_LOW * (_HIGH / _LOW) ** (step / 60) for step in range(61)]
    times = [*(one.there(rate) for rate in rates), one.here.fixed]
    low, high = min(times) / 1.3, max(times) * 1.3

    def x(rate: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 24) * math.log(rate / _LOW) / math.log(_HIGH / _LOW)

    def y(seconds: float) -> float:
        return _TOP + (_HEIGHT - _BOTTOM - _TOP) * (1 - math.log(seconds / low) / math.log(high / low))

    def path(points: Sequence[tuple[float, float]], colour: str) -> str:
        line = " ".join(f"{x(rate):.1f},{y(seconds):.1f}" for rate, seconds in points)
        return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(_caption(one))}">']
    for rate in (1, 3, 10, 30, 100, 300, 1000):
        parts.append(
            f'<line x1="{x(rate):.1f}" x2="{x(rate):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#8883"/>'
        )
        parts.append(f'<text x="{x(rate):.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{rate}</text>')
    for seconds in _ticks(low, high):
        parts.append(f'<text x="{_LEFT - 6}" y="{y(seconds) + 4:.1f}" text-anchor="end">{seconds:g} s</text>')
    parts.append(f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 2}" text-anchor="end">uplink, Mbit/s</text>')
    parts.append(path([(rate, one.here.fixed) for rate in (_LOW, _HIGH)], _HERE))
    parts.append(path([(rate, one.there(rate)) for rate in rates], _THERE))
    parts.append(f'<text x="{_LEFT + 6}" y="{y(one.here.fixed) - 6:.1f}" style="fill:{_HERE}">here</text>')
    name = escape(one.there.executor)
    parts.append(f'<text x="{x(2):.1f}" y="{y(one.there(2)) - 6:.1f}" style="fill:{_THERE}">{name}</text>')
    mine = x(min(max(one.uplink, _LOW), _HIGH))
    parts.append(
        f'<line x1="{mine:.1f}" x2="{mine:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="{_MINE}" '
        f'stroke-dasharray="4 3"/><text x="{mine - 4:.1f}" y="{_TOP + 10}" text-anchor="end">yours</text>'
    )
    if one.break_even is not None and _LOW <= one.break_even <= _HIGH:
        parts.append(f'<circle cx="{x(one.break_even):.1f}" cy="{y(one.here.fixed):.1f}" r="4" fill="{_THERE}"/>')
    return "".join([*parts, "</svg>"])


NOTHING = "Nothing to compare yet: no task was done both here and elsewhere. Try `montage-ai offload calibrate`."
COLUMNS = ("task", "executor", "here", "there", "rate here, units/s", "rate there", "break-even uplink", "verdict")
_ACCURACY = ("step", "device", "predicted", "mean error of the last ten")


def row(one: Comparison) -> list[str]:
    """A comparison in words, as ``COLUMNS`` name them."""
    needed = "never" if one.break_even is None else f"{one.break_even:.1f} Mbit/s"
    return [
        one.task,
        one.there.executor,
        f"{one.here.fixed:.1f} s",
        f"{one.there(one.uplink):.1f} s ({one.there.variant})",
        f"{one.rate_here:.0f}",
        f"{one.rate_there:.0f}",
        needed,
        one.verdict,
    ]


def _accuracy_row(analysis: Analysis, index: int) -> list[str]:
    one = analysis.accuracy[index]
    return [one.what, one.where, counted(one.count, "time"), f"{100 * one.error:.0f} %"]


def _caption(one: Comparison) -> str:
    size = one.there.bytes_up / 1e6
    return f"{one.task}: a typical job ({size:.1f} MB up) here and at {one.there.executor}: {one.verdict}"


def _ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _marked(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
