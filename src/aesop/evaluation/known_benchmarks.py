"""The benchmarks of the paper: what they are called, what they hold, how they are laid out and where they are had."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownBenchmark:
    """A published set of pictures.

    `aliases` are what folders of it are called, in lower case without punctuation. `count` pictures belong to it;
    the longer side of each has `longer` pixels (least, most), before and after cropping to a scale; None where that
    says nothing.
    """

    name: str
    count: int
    source: str
    aliases: frozenset[str] = frozenset()
    longer: tuple[int, int] | None = None
    #: Whether its pictures are low-quality ones without ground truth.
    unreferenced: bool = False
    #: Whether its LR pictures were photographed: none can be made from HR.
    real: bool = False

    def instructions(self) -> str:
        """Say where it is had and how it should lie, in a sentence."""
        how = "pictures in one folder" if self.unreferenced else "pictures in HRx4 (or HR) and LRx4, or as it comes"
        return f"get it from {self.source} and put it into a folder called {self.name} ({how})"


_SELFEXSR = "https://github.com/jbhuang0604/SelfExSR"

#: In the order of the paper's tables.
KNOWN = (
    KnownBenchmark("Set5", 5, _SELFEXSR, longer=(252, 512)),
    KnownBenchmark("Set14", 14, _SELFEXSR, longer=(264, 768)),
    KnownBenchmark("Manga109", 109, "http://www.manga109.org (on request, for research)"),
    KnownBenchmark("General100", 100, "http://mmlab.ie.cuhk.edu.hk/projects/FSRCNN.html"),
    KnownBenchmark("Urban100", 100, _SELFEXSR),
    KnownBenchmark(
        "DIV2K",
        100,
        "https://data.vision.ee.ethz.ch/cvl/DIV2K (DIV2K_valid_HR, DIV2K_valid_LR_bicubic)",
        frozenset({"div2kval", "div2kvalid", "div2kvalidation", "div2k100", "div2kvalidhr"}),
        longer=(2032, 2040),
    ),
    KnownBenchmark("BSD100", 100, _SELFEXSR, frozenset({"b100", "bsds100"}), longer=(472, 481)),
    KnownBenchmark(
        "LSDIR", 250, "https://github.com/ofsoundof/LSDIR (val1)", frozenset({"lsdirval", "lsdirval1", "lsdirvalid"})
    ),
    KnownBenchmark("RealSRv3", 100, "https://github.com/csjcai/RealSR (version 3)", frozenset({"realsr"}), real=True),
    KnownBenchmark(
        "DRealSR",
        93,
        "https://github.com/xiezw5/Component-Divide-and-Conquer-for-Real-World-Image-Super-Resolution (Test_x4)",
        real=True,
    ),
    KnownBenchmark("RealSRSet", 20, "https://github.com/cszn/BSRGAN (testsets)", unreferenced=True),
)

#: HR and LR pictures as the published archives and the usual toolboxes lay them out, beside HRx4 and LRx4 or plain HR.
LAYOUTS = (
    ("GTmod12/*", "LRbicx{scale}/*"),
    ("GTmod16/*", "LRbicx{scale}/*"),
    ("HR/*", "LR_bicubic/X{scale}/*"),
    ("DIV2K_valid_HR/*", "DIV2K_valid_LR_bicubic/X{scale}/*"),
    ("HR/val/*", "X{scale}/val/*"),
    ("val1/HR/val/*", "val1/X{scale}/val/*"),
    ("image_SRF_{scale}/*_HR.*", "image_SRF_{scale}/*_LR.*"),
    ("*/Test/{scale}/*_HR.*", "*/Test/{scale}/*_LR{scale}.*"),
    ("Test_x{scale}/test_HR/*", "Test_x{scale}/test_LR/*"),
)


def recognise(name: str) -> KnownBenchmark | None:
    """Return the benchmark that a folder of this name holds; None if it is none of the known ones."""
    plain = _plain(name)
    return next((known for known in KNOWN if plain == _plain(known.name) or plain in known.aliases), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
