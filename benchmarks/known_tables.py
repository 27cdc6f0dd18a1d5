"""Tables and curves of docs/known_posterior.md, from the JSON file that `known_posterior.py` wrote.

python benchmarks/known_tables.py [--json JSON] [--page MD] [--curves PNG]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aesop.analysis.drawing import curve_style, drawn, style_axes
from markdown_tables import fill, table

DOCS = Path(__file__).parents[1] / "docs"
#: Columns of each table: a measure, its title and its number of digits.
ERRORS = {"lr": ("LR sees", 1), "edges": ("edges", 1), "stripes": ("stripes", 1)}
SIGHT = {"texture": ("texture redrawn", 3), "edges": ("edges moved 1 pixel", 3)}
SIGHT |= {"stripes": ("stripes of the wrong sign", 3), "lr": ("wrong LR", 3)}
ENCODERS = {"variance": ("texture kept", 3)} | {name: (title, 2) for name, (title, _) in ERRORS.items()}
ENCODERS |= {"bottleneck": ("E(HR) from LR", 2)}
TEXTURE = {"band": ("texture by HR's", 2), "fixed": ("fixed part", 2), "spectrum": ("spectrum, dB", 1)}
IMAGES = TEXTURE | ERRORS | {"se": ("SE", 1), "ve": ("VE", 1), "rmse": ("RMSE", 1)}
DIFFERENCES = {name: (title, 2) for name, (title, _) in IMAGES.items() if name not in TEXTURE or name == "band"}
#: Panels of the figure.
CURVES = {"se": "SE (fidelity bias)", "lr": "what LR sees", "edges": "edges", "stripes": "stripes"}

Summary = Mapping[str, Mapping[str, Any]]


def summary(first: str, rows: Mapping[str, Summary], columns: Mapping[str, tuple[str, int]], sign: bool = False) -> str:
    """A Markdown table of means, half their intervals and each seed's mean.

    With `sign`, numbers carry their sign, and a mean is bold where its interval and all seeds agree on it.
    """
    cells = [
        [name, *(_cell(measured[column], digits, sign) for column, (_, digits) in columns.items())]
        for name, measured in rows.items()
    ]
    return table([first, *(title for title, _ in columns.values())], cells)


def _cell(measured: Mapping[str, Any], digits: int, sign: bool) -> str:
    mean, half = measured["mean"], measured["half"]
    if mean is None:
        return "-"
    form, seeds = f"{'+' if sign else ''}.{digits}f", measured["seeds"]
    text = f"{mean:{form}}" + ("" if half is None else f" ± {half:.{digits}f}")
    if len(seeds) == 1:
        return text
    agree = sign and half is not None and abs(mean) > half and min(seeds) * max(seeds) > 0
    return (f"**{text}**" if agree else text) + f" ({', '.join(f'{one:{form}}' for one in seeds)})"


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """All tables of the page, keyed by the names of their marks."""
    rows = {_titled(name, results["curves"].get(name, [])): found for name, found in results["images"].items()}
    beside = {name: found for name, found in results["minus"]["AESOP (a), long"].items() if name.startswith("AESOP LR")}
    return {
        "sight": summary("", results["sight"], SIGHT),
        "auto-encoders": summary("", results["auto-encoders"], ENCODERS),
        "at HR's texture": summary("", rows, IMAGES),
        "minus LR consistency": summary(
            "minus LR consistency", results["minus"]["LR consistency"], DIFFERENCES, sign=True
        ),
        "minus AESOP (a), long": summary("minus AESOP (a), long", beside, DIFFERENCES, sign=True),
    }


def _titled(name: str, seeds: list[list[dict[str, Any]]]) -> str:
    """Add to a loss's name the weights that enclose HR's texture and the number of seeds.

    A star marks losses where some seed has no two such weights.
    """
    places = [[one["weight"] for one in found if one["encloses"]] for found in seeds]
    if not places:
        return name
    star = "" if all(len(place) == 2 for place in places) else " *"
    weights = sorted({weight for place in places for weight in place})
    return f"{name}{star} ({weights[0]:g} to {weights[-1]:g}; {len(seeds)})"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Plot each error against the texture: one curve per loss and seed, one point per adversary's weight."""
    with drawn(path, 7.5, 5.6) as figure:
        panels = figure.subplots(2, 2).flatten()
        for (measure, title), axes in zip(CURVES.items(), panels, strict=True):
            for number, (name, seeds) in enumerate(results["curves"].items()):
                for seed, found in enumerate(seeds):
                    x, y = ([one[part] for one in found] for part in ("band", measure))
                    style = {"linestyle": ("-", "--", ":")[seed % 3], "linewidth": 1, "markersize": 3}
                    axes.plot(x, y, label="_" if seed else name, **curve_style(number), **style)
            axes.axvline(1, color="grey", linewidth=0.6)
            axes.set_xlim(0.5, 2)
            axes.set_xlabel("texture by HR's")
            axes.set_title(f"{title}, levels", fontsize=8)
            style_axes(axes)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=DOCS / "data/known_posterior.json", help="what was measured")
    parser.add_argument("--page", type=Path, default=DOCS / "known_posterior.md", help="page with marks for the tables")
    parser.add_argument("--curves", type=Path, default=DOCS / "images/known_posterior.png", help="figure to draw")
    asked = parser.parse_args()
    results = json.loads(asked.json.read_text(encoding="utf-8"))
    fill(asked.page, tables(results))
    draw(results, asked.curves)


if __name__ == "__main__":
    main()
