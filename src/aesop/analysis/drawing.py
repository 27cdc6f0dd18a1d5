"""Figures as files: PNG, SVG or PDF by the file's suffix, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from aesop.errors import AesopError, MissingExtraError
from aesop.files import atomic_path, require_writable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")

#: Told apart by people who see red and green alike (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def require_drawable(path: Path) -> None:
    """Check, before any work is done, that a figure can be drawn to `path`.

    Raises:
        AesopError: if the suffix is not one of SUFFIXES, the folder cannot be written or matplotlib is missing.

    """
    if path.suffix.lower() not in SUFFIXES:
        raise AesopError(f"{path}: cannot draw {path.suffix or 'such'} files; choose a name that ends in .png or .svg.")
    require_writable(path)
    try:
        import matplotlib as _  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingExtraError("drawing figures", "demo") from error


@contextmanager
def drawn(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of `width` x `height` inches; it is written to `path`, atomically, when the block ends.

    Raises as `require_drawable` does, and RunError where the file cannot be written.
    """
    require_drawable(path)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # The same figure is the same file: no date, no random names in it.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "aesop", "font.size": 9}):
        # A pad that titles at the figure's edge fit into.
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08))
        FigureCanvasAgg(figure)
        yield figure
        kind = path.suffix.lower().removeprefix(".")
        metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)


def show(axes: Any, image: Tensor, title: str = "", *, highest: float = 1.0, lowest: float = 0.0, map: str = "") -> Any:
    """Show (3, H, W) in [0, 1] in its colours, or (H, W) from `lowest` to `highest` in a colour map; no ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)
    if image.ndim == 3:
        return axes.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
    return axes.imshow(image.numpy(), cmap=map or "gray", vmin=lowest, vmax=highest, interpolation="nearest")


def brightest(image: Tensor) -> float:
    """Return the value that all but the brightest 0.5 % of the pixels stay below: the top of a colour scale."""
    return float(image.flatten().kthvalue(max(1, round(0.995 * image.numel()))).values)


def line(axes: Any) -> None:
    """Give axes of a curve their look: a light grid and no frame above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.5, alpha=0.4)
