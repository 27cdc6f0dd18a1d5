"""What the cards of the models in the box say, measured again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import aesop
from aesop.evaluation.evaluate import evaluate
from compressed import write_compressed

CARDS = [file.with_suffix(".md") for name, file in aesop.models().items() if "auto-encoder" not in name]
#: Titles of columns, and the metrics they show.
METRICS = {"PSNR": "psnr", "SSIM": "ssim", "LR-PSNR": "lr-psnr", "NIQE": "niqe", "LPIPS-proxy": "lpips-proxy"}


def rows(card: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of the tables with a column "network": the first column's title, and the cells by their titles.

    An empty first cell stands for the one above it.
    """
    heads: list[str] = []
    first = ""
    for line in card.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            heads = []
        elif not heads:
            heads = cells
        elif "network" in heads and set(cells[0]) != {"-"}:
            first = cells[0] or first
            yield heads[0], dict(zip(heads, [first, *cells[1:]], strict=True))


@pytest.mark.long
@pytest.mark.parametrize(
    "card", [card for card in CARDS if "auto-encoder" not in card.stem], ids=lambda card: card.stem
)
def test_evaluate_gives_the_numbers_of_the_card(card: Path, shared_data: Path, tmp_path: Path):
    claimed: defaultdict[tuple[str, str], dict[str, dict[str, str]]] = defaultdict(dict)
    for title, cells in rows(card.read_text(encoding="utf-8")):
        name, network = cells[title], cells["network"].strip("`")
        if name in ("Set5", "Set14") and network in {*aesop.models(), "bicubic"}:
            claimed[title, name][network] = {METRICS[head]: cells[head] for head in METRICS.keys() & cells.keys()}
    assert claimed
    for (title, name), networks in claimed.items():
        benchmark = shared_data / "benchmarks" / name
        scale = 2 if "x2" in title else 4
        if "JPEG 80" in title:
            write_compressed(benchmark, tmp_path / name, scale, 80)
            benchmark = tmp_path / name
        metrics = sorted({metric for values in networks.values() for metric in values})
        found = evaluate(list(networks), [benchmark], metrics=metrics)
        for result in found.results:
            if cell := networks[result.model].get(result.metric):
                last_digit = 10.0 ** -len(cell.partition(".")[2])
                assert result.mean == pytest.approx(float(cell), abs=1.5 * last_digit), (name, result)
