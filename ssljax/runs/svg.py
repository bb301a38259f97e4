"""Curves as inline SVG: a page with them needs no library, no network and no second file."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 14, 14, 42
_COLORS = ("#2266aa", "#bb4422", "#22884d", "#8844aa", "#aa7711", "#227788", "#994466", "#556633")
_MOST_POINTS = 400
_Number = int | float


class Curve(NamedTuple):
    """A name and points; those that are not finite, or not positive on a logarithmic axis, gap."""

    name: str
    x: Sequence[_Number]
    y: Sequence[_Number]


def svg_curves(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    *,
    log_y: bool = False,
    points: bool = False,
) -> str:
    """A diagram of curves as an ``<svg>`` element; every text in it is escaped.

    Args:
      curves: At least one; long ones are thinned to the width of the picture.
      x_label: Under the horizontal axis.
      y_label: Beside the vertical axis.
      log_y: Logarithmic vertical axis.
      points: Marks instead of lines.

    Returns:
      The element, or an empty string where there is nothing to draw.
    """
    drawn = [(curve.name, _thinned(_finite(curve, log_y))) for curve in curves]
    drawn = [(name, values) for name, values in drawn if values]
    if not drawn:
        return ""
    x_low, x_high = _range([x for _, values in drawn for x, _ in values])
    y_low, y_high = _range([y for _, values in drawn for _, y in values])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / (y_high - y_low)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 18 * _legend_rows(len(drawn))}" role="img"'
        f' aria-label="{html.escape(y_label)} against {html.escape(x_label)}">'
    ]
    for tick in _ticks(x_low, x_high):
        x, _ = place(tick, y_low)
        parts.append(_line(x, _TOP, x, _HEIGHT - _BOTTOM))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 16, _number(tick), "middle"))
    for tick in _log_ticks(y_low, y_high) if log_y else _ticks(y_low, y_high):
        _, y = place(x_low, tick)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 6, y + 4, _number(10**tick if log_y else tick), "end"))
    for index, (name, values) in enumerate(drawn):
        color = _COLORS[index % len(_COLORS)]
        places = [place(x, y) for x, y in values]
        if points or len(places) == 1:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places
            ]
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>'
            )
        x, y = _LEFT + (index % 4) * 142, _HEIGHT + 10 + 18 * (index // 4)
        parts.append(f'<rect x="{x}" y="{y - 8}" width="10" height="10" fill="{color}"/>')
        parts.append(_text(x + 14, y + 1, name, "start"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x_label, "middle"))
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle"'
        f' transform="rotate(-90 14 {middle})">{html.escape(y_label)}</text></svg>'
    )
    return "".join(parts)


def _finite(curve: Curve, log_y: bool) -> list[tuple[float, float]]:
    pairs = [(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True)]
    if log_y:
        pairs = [(x, math.log10(y)) for x, y in pairs if 0 < y < math.inf]
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def _thinned(values: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Lowest and highest of each stretch, so that a spike is never lost."""
    if len(values) <= _MOST_POINTS:
        return values
    length = math.ceil(2 * len(values) / _MOST_POINTS)
    kept = []
    for start in range(0, len(values), length):
        stretch = values[start : start + length]
        ends = {min(stretch, key=lambda pair: pair[1]), max(stretch, key=lambda pair: pair[1])}
        kept += sorted(ends)
    return kept


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        margin = abs(low) * 0.05 or 0.5
        return low - margin, high + margin
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    ticks = [float(power) for power in range(math.ceil(low), math.floor(high) + 1)]
    return ticks[:: math.ceil(len(ticks) / 6)] if len(ticks) >= 2 else _ticks(low, high)


def _legend_rows(count: int) -> int:
    return math.ceil(count / 4)


def _number(value: _Number) -> str:
    return f"{value:.4g}"


def _line(x1: _Number, y1: _Number, x2: _Number, y2: _Number) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="grid"/>'


def _text(x: _Number, y: _Number, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
