"""Figures as files: PNG, SVG or PDF by the file's suffix, whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from aesop.errors import AesopError, MissingExtraError
from aesop.files import atomic_path, require_writable

#: Pixels an inch of PNG files, and at most of pictures inside the others.
DPI = 300

#: Told apart by people who see red and green alike (Okabe and Ito 2008, without the yellow that white paper swallows).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: As many as have no common divisor with the colours, so that 56 curves differ.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")

#: Text stays text in SVG and PDF, and the same figure is the same file: no random names in it.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "aesop",
    "pdf.fonttype": 42,
    "font.size": 8,
    "axes.linewidth": 0.6,
    "image.composite_image": False,
}


def require_drawable(path: Path) -> None:
    """Raise AesopError where no figure can be drawn to `path`: by its suffix or folder, or without matplotlib."""
    suffix = path.suffix
    if suffix.lower() not in (".png", ".svg", ".pdf"):
        raise AesopError(
            f"{path}: cannot draw {suffix or 'such'} files; choose a name that ends in .png, .svg or .pdf."
        )
    require_writable(path)
    try:
        import matplotlib as _  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingExtraError("drawing figures", "demo") from error


@contextmanager
def drawn(path: Path | str, width: float, height: float) -> Iterator[Any]:
    """Yield an empty matplotlib figure of `width` x `height` inches; write it, atomically, when the block ends.

    Raises as `require_drawable` does, and RunError where the file cannot be written.
    """
    path = Path(path)
    require_drawable(path)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(_STYLE):
        # A pad that titles at the figure's edge fit into.
        engine = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.04, wspace=0, hspace=0)
        figure = Figure(figsize=(width, height), layout=engine, dpi=DPI)
        FigureCanvasAgg(figure)
        yield figure
        kind = path.suffix.lower().removeprefix(".")
        if kind != "png":  # files that scale hold pictures pixel by pixel, for the viewer to enlarge
            for image in (image for axes in figure.get_axes() for image in axes.get_images()):
                image.set_interpolation("none")
        metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)


def show(axes: Any, image: Tensor, title: str = "", *, map: str = "gray", norm: Any = None) -> Any:
    """Show (3, H, W) in [0, 1] in its colours, or (H, W) in a colour map by `norm` (from 0 to 1 if unset); no ticks."""
    from matplotlib.colors import Normalize

    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=7.5, pad=3)
    # Where a panel has fewer pixels than the picture, "auto" averages them instead of leaving some out; where it has
    # more, pixels stay squares.
    if image.ndim == 3:
        return axes.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="auto")
    return axes.imshow(image.numpy(), cmap=map, norm=norm or Normalize(0, 1), interpolation="auto")


def shrunk(image: Tensor, inches: float) -> Tensor:
    """Average the pixels of (3, H, W), or (H, W), that a panel `inches` wide could not print one by one."""
    height, width = image.shape[-2:]
    most = math.ceil(inches * DPI)
    if width <= most:
        return image
    size = (max(1, round(height * most / width)), most)
    return F.adaptive_avg_pool2d(image.reshape(1, -1, height, width), size).reshape(*image.shape[:-2], *size)


def brightest(image: Tensor) -> float:
    """Return the value that all but the brightest 0.5 % of the pixels stay below: the top of a colour scale."""
    return float(image.flatten().kthvalue(max(1, round(0.995 * image.numel()))).values)


def style_axes(axes: Any) -> None:
    """Give axes of a curve their look: a light grid and no frame above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.5, alpha=0.4)


def curve_style(number: int) -> dict[str, Any]:
    """Colour and marker of the curve of this number."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
