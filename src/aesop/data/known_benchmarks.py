"""The benchmarks of the paper: their names, contents and sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aesop.data.layouts import Layout

#: HR pictures are cropped to multiples of the scale, or of 12 or 16, by at most so many pixels a side.
CROP = 15


@dataclass(frozen=True)
class KnownBenchmark:
    """A published set of `count` pictures, or of so many at each scale.

    HR sides are within `longer` and `shorter` pixels (least, most), where known. `aliases` are folder names, in lower
    case without punctuation. `unreferenced`: LR pictures without ground truth. `real`: LR was photographed and cannot
    be made from HR. `layouts` are of this set alone.
    """

    name: str
    count: int | Mapping[int, int]
    source: str
    aliases: frozenset[str] = frozenset()
    longer: tuple[int, int] | None = None
    shorter: tuple[int, int] | None = None
    unreferenced: bool = False
    real: bool = False
    layouts: tuple[Layout, ...] = ()

    def count_at(self, scale: int) -> int | None:
        """The number of pictures at a scale; None if it has none."""
        return self.count if isinstance(self.count, int) else self.count.get(scale)

    def has_size(self, height: int, width: int) -> bool:
        """Whether an HR picture, cropped to a scale or not, may have this size."""
        return all(
            limits is None or limits[0] - CROP <= side <= limits[1]
            for side, limits in ((max(height, width), self.longer), (min(height, width), self.shorter))
        )

    def instructions(self) -> str:
        """Return where to get it and which layout it needs."""
        how = "pictures in one folder" if self.unreferenced else "pictures in HRx4 (or HR) and LRx4, or as it comes"
        return f"get it from {self.source} and put it into a folder called {self.name} ({how})"


_SELFEXSR = "https://github.com/jbhuang0604/SelfExSR"

#: In the order of the paper's tables.
KNOWN = (
    KnownBenchmark("Set5", 5, _SELFEXSR, longer=(256, 512), shorter=(228, 512)),
    KnownBenchmark("Set14", 14, _SELFEXSR, longer=(276, 768), shorter=(250, 576)),
    KnownBenchmark("Manga109", 109, "http://www.manga109.org (on request, for research)"),
    KnownBenchmark("General100", 100, "http://mmlab.ie.cuhk.edu.hk/projects/FSRCNN.html"),
    KnownBenchmark("Urban100", 100, _SELFEXSR),
    KnownBenchmark(
        "DIV2K",
        100,
        "https://data.vision.ee.ethz.ch/cvl/DIV2K (DIV2K_valid_HR, DIV2K_valid_LR_bicubic)",
        frozenset({"div2kval", "div2kvalid", "div2kvalidation", "div2k100", "div2kvalidhr"}),
        longer=(2040, 2040),
        # DIV2K_train_HR may lie beside it.
        layouts=(
            Layout("DIV2K_valid_HR", "DIV2K_valid_LR_bicubic/X{scale}"),
            Layout(".", "../DIV2K_valid_LR_bicubic/X{scale}"),
        ),
    ),
    KnownBenchmark("BSD100", 100, _SELFEXSR, frozenset({"b100", "bsds100"}), longer=(481, 481), shorter=(321, 321)),
    KnownBenchmark(
        "LSDIR",
        250,
        "https://github.com/ofsoundof/LSDIR (val1)",
        frozenset({"lsdirval", "lsdirval1", "lsdirvalid"}),
        # HR/train may lie beside it.
        layouts=(Layout("HR/val", "X{scale}/val"), Layout("val1/HR/val", "val1/X{scale}/val")),
    ),
    KnownBenchmark("RealSRv3", 100, "https://github.com/csjcai/RealSR (version 3)", frozenset({"realsr"}), real=True),
    KnownBenchmark(
        "DRealSR",
        {2: 83, 3: 84, 4: 93},
        "https://github.com/xiezw5/Component-Divide-and-Conquer-for-Real-World-Image-Super-Resolution (Test_x4)",
        real=True,
    ),
    KnownBenchmark("RealSRSet", 20, "https://github.com/cszn/BSRGAN (testsets)", unreferenced=True),
)


def recognise(name: str) -> KnownBenchmark | None:
    """Return the benchmark that a folder of this name holds, or None."""
    plain = _plain(name)
    return next((known for known in KNOWN if plain == _plain(known.name) or plain in known.aliases), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
