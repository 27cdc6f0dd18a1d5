"""Curves as SVG that stands inside a page: its text and colours are the page's, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aesop.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Matplotlib wants numbers; the page replaces them by its CSS variables.
_VARIABLES = {"ink": "#010201", "soft": "#010202", "line": "#010203", "paper": "#010204"}
_SERIES = {"aesop": "#010211", "pixel": "#010212", "fidelity": "#010213", "bicubic": "#010214"}

#: Curves of more points are smoothed.
LONG = 20


@dataclass(frozen=True)
class Series:
    """A curve: its name in the legend (none if empty) and the CSS colour, one of aesop, pixel, fidelity, bicubic."""

    label: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


def curves(series: Sequence[Series], *, logarithmic: bool = False) -> str:
    """Draw a small chart of values over iterations, long curves smoothed over faint ones; return the <svg> element."""
    with _drawing(4.4, 2.7) as (figure, axes):
        for one in series:
            line = {"color": _SERIES[one.colour], "linestyle": "--" if one.dashed else "-"}
            if len(one.y) > LONG:
                axes.plot(one.x, one.y, linewidth=0.8, alpha=0.3, **line)
            axes.plot(one.x, smoothed(one.y), linewidth=1.5, label=one.label, **line)
        values = [value for one in series for value in one.y]
        # Within a factor of a few a logarithmic axis looks the same, with fewer round numbers on it.
        if logarithmic and min(values) > 0 and max(values) > 8 * min(values):
            _logarithmic(axes, values)
        axes.margins(x=0.02)
        axes.set_xlabel("iteration")
        if len(series) > 1 and any(one.label for one in series):
            axes.legend(frameon=False, fontsize=9, labelcolor=_VARIABLES["ink"])
        return _svg(figure)


def smoothed(values: Sequence[float]) -> list[float]:
    """Return running means over a tenth of `values` where there are more than LONG, else the values."""
    reach = len(values) // 20 if len(values) > LONG else 0
    windows = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def perception_distortion(
    paths: Sequence[tuple[Series, Sequence[str]]], points: Sequence[Series], *, x_label: str, y_label: str
) -> str:
    """Draw paths through the perception-distortion plane, each point with its note, and single points by name."""
    with _drawing(6.4, 4.2) as (figure, axes):
        for number, (path, notes) in enumerate(paths):
            # Notes of one path above it, of the next below: the paths start at one point.
            offset, side = ((7, 5), "left") if number % 2 else ((-7, -12), "right")
            axes.plot(
                path.x, path.y, color=_SERIES[path.colour], marker="o", markersize=5, linewidth=1.6, label=path.label
            )
            for x, y, note in zip(path.x, path.y, notes, strict=True):
                if note:
                    axes.annotate(
                        note,
                        (x, y),
                        offset,
                        textcoords="offset points",
                        horizontalalignment=side,
                        fontsize=9,
                        color=_VARIABLES["soft"],
                    )
        for point in points:
            axes.plot(point.x, point.y, color=_SERIES[point.colour], marker="D", linestyle="", label=point.label)
        axes.margins(0.12)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.legend(frameon=False, fontsize=9.5, labelcolor=_VARIABLES["ink"])
        return _svg(figure)


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Figure, Any]]:
    """Make a figure of `width` x `height` inches with one pair of axes in the page's style."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("the report's figures", "demo") from error
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Text stays text, and names inside the file do not change from call to call.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "aesop", "font.size": 10}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_VARIABLES["line"])
        axes.tick_params(colors=_VARIABLES["soft"], which="both", length=3, labelsize=9)
        axes.grid(color=_VARIABLES["line"], linewidth=0.6, alpha=0.5)
        axes.xaxis.label.set_color(_VARIABLES["soft"])
        axes.yaxis.label.set_color(_VARIABLES["soft"])
        yield figure, axes


def _logarithmic(axes: Any, values: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    wide = max(values) > 100 * min(values)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _svg(figure: Figure) -> str:
    """Return the figure as an <svg> element that refers to nothing outside the page."""
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', text, count=1)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"(font: [\d.]+px)[^;\"]*", r"\1 var(--font)", text)
    for name, colour in {**_VARIABLES, **_SERIES}.items():
        text = text.replace(colour, f"var(--{name})")
    return text
