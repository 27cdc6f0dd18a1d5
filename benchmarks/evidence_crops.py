"""The crops of docs/evidence.md: the most detailed square of some pictures, by all methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

from PIL import Image
from torch import Tensor

from aesop.analysis.drawing import drawn, show
from aesop.analysis.regions import detailed_regions
from aesop.data.benchmarks import open_benchmark
from aesop.data.pictures import read_picture, to_float, to_planes
from aesop.evaluation.pictures import sr_path
from aesop.files import atomic_path

#: Pictures per benchmark, spread evenly over its list.
COUNT = 4
SIDE = 96
#: Side of a panel in inches.
PANEL = 0.8


def draw_crops(benchmarks: Sequence[Path], methods: Mapping[str, Path], path: Path, scale: int = 4) -> None:
    """Draw COUNT pictures of each benchmark, one row each; `methods` maps titles to folders of SR pictures."""
    rows: list[dict[str, Tensor]] = []
    for folder in benchmarks:
        benchmark = open_benchmark(folder, scale)
        for pair in benchmark.pairs[:: max(1, len(benchmark.pairs) // COUNT)][:COUNT]:
            hr, lr = pair.read(scale)
            box = detailed_regions(hr, lr, 1, SIDE)[0]
            pictures = {title: sr_path(sr, benchmark.name, "1", pair.name) for title, sr in methods.items()}
            shown = {title: to_planes(read_picture(file)) for title, file in pictures.items()} | {"HR": hr}
            rows.append({title: box.cut(picture) for title, picture in shown.items()})
    with TemporaryDirectory() as scratch:
        sheet = Path(scratch, "sheet.png")
        with drawn(sheet, PANEL * len(rows[0]), PANEL * len(rows) + 0.5) as figure:
            panels = figure.subplots(len(rows), len(rows[0]), squeeze=False)
            for number, (line, row) in enumerate(zip(panels, rows, strict=True)):
                for axes, (title, crop) in zip(line, row.items(), strict=True):
                    show(axes, to_float(crop), fill(title, 12) if number == 0 else "")
        # JPEG: so much texture takes several megabytes as PNG.
        with Image.open(sheet) as image, atomic_path(path) as temporary:
            image.convert("RGB").save(temporary, "JPEG", quality=88)
