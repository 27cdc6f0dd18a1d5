"""Which pictures there are to upscale, and what their results are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

from aesop.data.pictures import PictureAccessError, find_pictures
from aesop.device import is_out_of_memory
from aesop.errors import AesopError, DataError
from aesop.files import explained
from aesop.upscaling.pictures.formats import FORMATS, SUFFIXES, default_format
from aesop.upscaling.pictures.source import format_of, open_source
from aesop.words import first_line, one_line


@dataclass
class UpscaleReport:
    """What became of every picture.

    `unreadable` describes folders that could not be listed; `renamed` are results that kept their input's suffix
    (`a.bmp.png`), since another's had the name; `notes` tell what metadata results cannot hold; `seams` says whether
    the seams of tiles may show; `engine` tells what ran the model; `megapixels` were written in `seconds`.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    renamed: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seams: bool = False
    engine: str = ""
    megapixels: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Name:
    """A result's name without its suffix: a template of `{stem}` (the input's), `{model}` and `{scale}`."""

    template: str
    model: str = ""
    scale: float | None = None

    def __post_init__(self) -> None:
        """Raise AesopError for a template that is none."""
        try:
            parts = [part[1:] for part in Formatter().parse(self.template) if part[1] is not None]
        except ValueError as error:
            raise AesopError(f"--name {self.template}: {error}.") from error
        fields = {field for field, _, _ in parts}
        if fields - {"stem", "model", "scale"} or any(spec or conversion for _, spec, conversion in parts):
            raise AesopError(f"--name {self.template}: there are {{stem}}, {{model}} and {{scale}}.")
        if "stem" not in fields:
            raise AesopError(f"--name {self.template}: must hold {{stem}}, the input's name without its suffix.")
        if "scale" in fields and self.scale is None:
            raise AesopError(f"--name {self.template}: {{scale}} is known with --scale only.")
        if any(separator in self.template for separator in (os.sep, os.altsep) if separator):
            raise AesopError(f"--name {self.template}: is a file's name; --output names the folder.")

    def of(self, stem: str) -> str:
        """Return the result's stem for an input's."""
        return self.template.format(stem=stem, model=self.model, scale=f"{self.scale or 0:g}")


def plan(
    inputs: list[Path],
    output: Path,
    key: str | None,
    report: UpscaleReport,
    name: Callable[[Path], Name] | None = None,
) -> dict[Path, Path]:
    """Inputs and their results; DataError where these would replace an input or one another.

    Results are of format `key`, unset what each input's suffix names, and called as `name` says. What could not be
    listed, or is called otherwise, is noted in the report.
    """
    if not output.is_dir() and (output.exists() or output.suffix.lower() in SUFFIXES):
        raise DataError(f"{output}: --output is the folder for the results, not a picture; name a folder.")
    names: dict[Path, Path] = {}
    for given in inputs:
        try:
            if given.is_dir():
                if given.resolve() == output.resolve():
                    raise DataError(f"{output}: is an input folder; choose another --output.")
                for path in find_pictures(given, report.unreadable, SUFFIXES):
                    if output.resolve() not in path.resolve().parents:
                        names[path] = path.relative_to(given)
            elif given.is_file():
                names[given] = Path(given.name)
            elif given.exists():
                raise DataError(f"{given}: is neither a file nor a folder; name a picture or a folder.")
            else:
                raise DataError(f"{given}: no such picture or folder; check the path.")
        except (PictureAccessError, PermissionError) as error:
            report.unreadable.append(sentence(error, given))
    if not names and report.unreadable:
        raise DataError(report.unreadable[0])

    def stem_of(source: Path, stem: str) -> str:
        return name(source).of(stem) if name else stem

    targets, kept = {}, set()
    for source, path in names.items():
        promised = SUFFIXES.get(path.suffix.lower(), "png")
        wanted = key or default_format(_holding(source, promised))
        suffix = FORMATS[wanted].suffixes[0]
        if wanted == promised and path.suffix.lower() in SUFFIXES:
            suffix = path.suffix
            kept.add(source)
        targets[source] = output / path.with_name(stem_of(source, path.stem) + suffix)
        if not key and wanted != default_format(promised):
            held = f"{FORMATS[promised].name} cannot hold its transparency or 16 bits"
            report.notes.append(f"{source}: {held}; the result is of format {FORMATS[wanted].name}, and called so.")
    taken, originals = Counter(targets.values()), {source.resolve() for source in targets}
    makers: dict[Path, Path] = {}
    for source, target in targets.items():
        if taken[target] > 1 and source not in kept:  # a.bmp beside a.png
            target = target.with_name(stem_of(source, source.name) + target.suffix)
            report.renamed.append(target)
        if target.resolve() in originals:
            raise DataError(f"{target}: would replace an original; choose another --output.")
        if (other := makers.setdefault(target, source)) != source:
            raise DataError(f"{other} and {source} would both become {target}; give their folders one by one.")
    return {source: target for target, source in makers.items()}


def _holding(source: Path, promised: str) -> str:
    """The format that a picture's suffix promises, or that of its content where only this can hold it."""
    if not (FORMATS[promised].alpha and FORMATS[promised].deep):
        with suppress(Exception):  # told when its turn comes
            if (found := format_of(source)) not in (None, promised):
                info = open_source(source).info
                if info.alpha > FORMATS[promised].alpha or (info.depth > 8 and not FORMATS[promised].deep):
                    return found or promised
    return promised


def sentence(error: Exception, path: Path) -> str:
    """One sentence on what became of `path`."""
    if isinstance(error, OSError):
        return explained(error, path)
    if isinstance(error, AesopError):
        return first_line(error)
    if is_out_of_memory(error):
        return "not enough memory; close other programs, or take another --device."
    if isinstance(error, RuntimeError):
        return first_line(error)
    return f"cannot be upscaled ({one_line(repr(error))})."
