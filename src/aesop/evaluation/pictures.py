"""The pictures of an evaluation, with what every model made of each, and the folder of SR pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo
from torch import Tensor

from aesop.data.pictures import read_picture, to_picture, to_planes
from aesop.errors import AesopError, DataError
from aesop.evaluation.results import Evaluation
from aesop.files import atomic_path

#: The text in a PNG file that says of which model and LR picture it was made.
_RECORD = "aesop-sr"


@dataclass(frozen=True)
class EvaluatedPicture:
    """A picture and what the models made of it: uint8, (3, H, W); `sr` lacks the models that failed on it."""

    benchmark: str
    name: str
    scale: int
    hr: Tensor | None
    lr: Tensor
    sr: Mapping[str, Tensor]


def pictures(evaluation: Evaluation) -> Iterator[EvaluatedPicture]:
    """Read all pictures of an evaluation, one at a time; what cannot be read is left out.

    Raises AesopError where `evaluate` was called without `sr_folder`.
    """
    folder = evaluation.sr_folder
    if folder is None:
        raise AesopError("This evaluation kept no SR pictures; call `evaluate` with `sr_folder`.")
    for benchmark in evaluation.sets:
        for picture in benchmark.pictures:
            try:
                hr, lr = picture.read(benchmark.scale)
            except (AesopError, OSError, RuntimeError):  # a failure of the evaluation
                continue
            sr = {}
            for model in evaluation.models:
                if model in evaluation.given:
                    with suppress(AesopError):  # likewise
                        sr[model] = evaluation.given[model].read(benchmark.name, picture.name, lr, benchmark.scale)
                elif (found := read_sr(sr_path(folder, benchmark.name, model, picture.name))) is not None:
                    sr[model] = found
            yield EvaluatedPicture(benchmark.name, picture.name, benchmark.scale, hr, lr, sr)


def sr_path(folder: Path, benchmark: str, model: str, picture: str) -> Path:
    """Return the path of a model's SR picture, `folder/benchmark/model/picture.png`."""
    # Titles and names never lead out of the folder.
    return folder.joinpath(*(f"./{part}".replace("/..", "/__") for part in (benchmark, model, f"{picture}.png")))


def has_sr(path: Path, key: str | None) -> bool:
    """Whether the SR picture with this key is there; None is the key of none."""
    try:
        with PngImageFile(path) as image:
            return key is not None and image.info.get(_RECORD) == key
    except (OSError, SyntaxError, ValueError):
        return False


def read_sr(path: Path) -> Tensor | None:
    """Read an SR picture, uint8 (3, H, W); None where there is none, or a damaged one."""
    try:
        return to_planes(read_picture(path))
    except DataError:
        return None


def write_sr(path: Path, picture: Tensor, key: str | None) -> None:
    """Write an SR picture, uint8 (3, H, W), with its key, whole or not at all."""
    record = PngInfo()
    record.add_text(_RECORD, key or "")
    with atomic_path(path) as temporary:
        Image.fromarray(to_picture(picture)).save(temporary, "PNG", pnginfo=record)
