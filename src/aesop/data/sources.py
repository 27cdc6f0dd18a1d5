"""What a folder of pictures offers: HR alone, or HR and LR that pair by name."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from aesop.data.pictures import find_pictures
from aesop.errors import DataError


@dataclass(frozen=True)
class Source:
    """An HR picture, its name (path inside its folder) and its LR picture; `lr` is None where LR is to be made.

    `stamp` changes whenever one of the files does (sizes and times of change).
    """

    name: str
    hr: Path
    lr: Path | None
    stamp: str


def find_sources(source: Path, scale: int, lr: Path | None) -> tuple[list[Source], list[tuple[str, str]]]:
    """All HR pictures of `source` with their LR partners, and (name, reason) of those that lack one.

    HR pictures are those in `source`/HRx<scale> or `source`/HR, else all in `source`. LR pictures are those in `lr`,
    else those beside HR in LRx<scale> or LR. Partners have the same path inside their folders, whatever the format;
    the LR name may end in x<scale>.

    Raises DataError where there are no pictures, or HR or LR folders of other scales only.
    """
    hr, lr = _folders(source, scale, lr)
    pictures = find_pictures(hr)
    partners = _by_stem(lr) if lr else None
    found, missing = [], []
    for path in pictures:
        name = path.relative_to(hr).as_posix()
        partner = None
        if partners is not None:
            stem = Path(name).with_suffix("").as_posix()
            candidates = partners.get(stem) or partners.get(f"{stem}x{scale}")
            if not candidates:
                missing.append((name, f"has no LR picture {stem} or {stem}x{scale} in {lr}"))
                continue
            partner = next((p for p in candidates if p.suffix == path.suffix), candidates[0])
        stamp = _stamp(path) if partner is None else f"{_stamp(path)} {partner.resolve()} {_stamp(partner)}"
        found.append(Source(name, path, partner, stamp))
    return found, missing


def _folders(source: Path, scale: int, lr: Path | None) -> tuple[Path, Path | None]:
    hr = _first_folder(source / f"HRx{scale}", source / "HR")
    if hr is not None:
        return hr, lr or _first_folder(source / f"LRx{scale}", source / "LR")
    others = sorted(p.name for p in source.glob("*") if p.is_dir() and re.fullmatch(r"HRx\d+|LR(x\d+)?", p.name))
    if others:
        raise DataError(
            f"{source}: has {', '.join(others)}, but neither HRx{scale} nor HR for scale {scale}; "
            "add one of them or train another scale."
        )
    return source, lr


def _first_folder(*candidates: Path) -> Path | None:
    return next((folder for folder in candidates if folder.is_dir()), None)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in find_pictures(folder):
        stems[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    return stems


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:  # a link that leads nowhere: reading it will say so
        return error.__class__.__name__
    return f"{status.st_size}:{status.st_mtime_ns}"
