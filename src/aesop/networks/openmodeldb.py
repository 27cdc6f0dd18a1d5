"""Models of OpenModelDB: found and fetched by the package `openmodeldb`, which is optional, and kept in our cache.

What a card says is not trusted: names and texts are cleaned, and a file stays only if it has the card's SHA-256, which
the package checks, and loads as a generator here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spandrel import MAIN_REGISTRY

from aesop.box import SUFFIXES, fetched_folder
from aesop.errors import MissingExtraError, ModelError, RunError
from aesop.files import explained, write_atomically
from aesop.networks.loading import load_generator
from aesop.words import first_few, one_line

#: Names that every file system allows; models of other names are left out.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
#: What we read under names of OpenModelDB that are not spandrel's.
_OTHER_ARCHITECTURES = {"esrgan+", "realplksr", "spsr"}


@dataclass(frozen=True)
class Card:
    """What OpenModelDB says of a model; `lack` is why it cannot be fetched and used here, or empty."""

    name: str
    about: str
    page: str
    lack: str
    entry: Any  # the package's, its texts cleaned, its resources one file


def find_cards(text: str = "", scale: int | None = None) -> list[Card]:
    """Find the models that have every word of `text` in name, author, architecture, tags or description.

    Raises MissingExtraError without the package; ModelError if the list of models can neither be fetched nor is cached.
    """
    package, folder = _package(), fetched_folder()
    known = {_plain(name) for each in MAIN_REGISTRY for name in (each.architecture.id, each.architecture.name)}
    try:
        entries = package.OpenModelDB(cache_dir=str(folder), download_dir=str(folder)).models
        cards = [_card(entry, known | _OTHER_ARCHITECTURES) for entry in entries if _NAME.fullmatch(entry.id)]
    except package.OpenModelDBError as error:
        raise ModelError(
            f"OpenModelDB cannot be reached ({one_line(error)}); check the network and try again."
        ) from error
    except OSError as error:
        raise RunError(explained(error, folder)) from error
    except Exception as error:  # a list of another form may raise anything
        raise ModelError(f"OpenModelDB: its list of models is damaged ({one_line(error)}); try again later.") from error
    words = text.casefold().split()
    return [card for card in cards if scale in (None, card.entry.scale) and all(w in _words(card.entry) for w in words)]


def find_card(name: str) -> Card:
    """Find the one model of a name or title, whatever its case; raises as `find_cards` does, ModelError if none is."""
    cards = find_cards()
    called = [card for card in cards if card.name.casefold() == name.casefold()]
    called = called or [card for card in cards if card.entry.name.casefold() == name.casefold()]
    if not called:
        raise ModelError(f"OpenModelDB has no model {name!r}; `aesop models --search TEXT` lists names.")
    if len(called) > 1:
        names = first_few([card.name for card in called])
        raise ModelError(f"OpenModelDB has several models {name!r}: {names}; name one.")
    return called[0]


def fetch(card: Card, quiet: bool = True) -> Path:
    """Return the file of a model, downloaded into our cache unless it is there with the SHA-256 that the card states.

    Raises ModelError if the card lacks something, or the file cannot be fetched, differs or is not a generator;
    RunError if it cannot be written.
    """
    if card.lack:
        raise ModelError(f"{card.name}: {card.lack}; see {card.page}.")
    (file,) = card.entry.resources
    folder = fetched_folder()
    target = folder / f"{card.name}.{file['type'].lower()}"
    try:
        if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == file["sha256"].lower():
            return target
        folder.mkdir(parents=True, exist_ok=True)
        # Nothing is found by its name before it has been checked.
        with TemporaryDirectory(dir=folder) as fresh:
            path = Path(_download(card, fresh, quiet))
            try:
                load_generator(path)
            except ModelError as error:
                raise ModelError(f"{str(error).replace(str(path), card.name)} Nothing is kept.") from error
            write_atomically(target.with_suffix(".md"), f"{card.about}; {card.page}\n")
            path.replace(target)
    except OSError as error:
        raise RunError(explained(error, folder)) from error
    return target


def _package() -> Any:
    try:
        return import_module("openmodeldb")
    except ImportError as error:
        raise MissingExtraError("OpenModelDB", "openmodeldb") from error


def _download(card: Card, folder: str, quiet: bool) -> str:
    database = _package().OpenModelDB(cache_dir=folder, download_dir=folder)  # archives are unpacked there, too
    try:
        return database.download(card.entry, quiet=quiet)  # one file and no format: never its converter
    except Exception as error:  # it lets through what urllib and zipfile raise
        reason = one_line(error).rstrip(".")
        raise ModelError(
            f"{card.name}: nothing was fetched ({reason}); try again later, or see {card.page}."
        ) from error


def _card(entry: Any, architectures: set[str]) -> Card:
    kinds = [suffix[1:] for suffix in reversed(SUFFIXES)]
    files = [f for kind in kinds for f in entry.resources if str(f.get("type")).lower() == kind and f.get("urls")]
    checked = [file for file in files if re.fullmatch("[0-9a-fA-F]{64}", str(file.get("sha256")))]
    file = (checked or files or [{}])[0]
    texts = {key: one_line(getattr(entry, key)) for key in ("name", "author", "architecture")}
    entry = replace(entry, **texts, resources=[file])
    lack = ""
    if not isinstance(entry.scale, int) or entry.scale < 2:
        lack = f"it is not an SR model (its scale is {one_line(entry.scale)})"
    elif any(entry.data.get(key, 3) != 3 for key in ("inputChannels", "outputChannels")):
        lack = "it is not for RGB pictures"
    elif _plain(entry.architecture) not in architectures:
        lack = f"its architecture, {entry.architecture}, cannot be read here"
    elif not files:
        lack = "it has no .safetensors or .pth file"
    elif not checked:
        lack = "its card states no SHA-256, by which the download could be checked"
    size = f"{(file.get('size') or 0) / 1e6:.1f} MB"
    licence = one_line(entry.license or "none stated")
    about = f"x{one_line(entry.scale):3} {entry.architecture:12} {size:>9}  licence {licence}, by {entry.author}"
    return Card(entry.id, about, f"https://openmodeldb.info/models/{entry.id}", lack, entry)


def _words(entry: Any) -> str:
    told = (entry.id, entry.name, entry.author, entry.architecture, *entry.tags, entry.description)
    return " ".join(map(str, told)).casefold()


def _plain(architecture: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", architecture.lower())
