"""Models of OpenModelDB: found and fetched by the package `openmodeldb`, which is optional, and kept in our cache.

What a card says is not trusted: names and texts are cleaned, and a file stays only if it has the card's SHA-256 and
loads as a generator here.
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
from aesop.words import first_few

#: Names that are files' names everywhere; models of other names are passed over.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
#: What we read under names of OpenModelDB that are not spandrel's.
_OTHER_NAMES = {"esrgan+", "realplksr", "spsr"}


@dataclass(frozen=True)
class Card:
    """What OpenModelDB says of a model; `lack` is why it cannot be fetched and used here, or empty."""

    name: str
    title: str
    about: str
    words: str
    lack: str
    scale: object
    sha256: str
    entry: Any

    @property
    def page(self) -> str:
        """The model's web page."""
        return f"https://openmodeldb.info/models/{self.name}"


def find_cards(text: str = "", scale: int | None = None) -> list[Card]:
    """Find the models that have every word of `text` in name, author, architecture, tags or description.

    Raises MissingExtraError without the package; ModelError if the list of models is not to be had, nor was before.
    """
    words = text.casefold().split()
    return [card for card in _cards() if all(word in card.words for word in words) and scale in (None, card.scale)]


def find_card(name: str) -> Card:
    """Find the one model of a name, whatever its case; raises as `find_cards` does, and ModelError if there is none."""
    cards = find_cards()
    for names in ([card.name for card in cards], [card.title for card in cards]):
        called = [card for card, other in zip(cards, names, strict=True) if name.casefold() == other.casefold()]
        if len(called) > 1:
            raise ModelError(f"{name}: several have this title: {first_few([card.name for card in called])}; name one.")
        if called:
            return called[0]
    raise ModelError(
        f"{_clean(name)}: OpenModelDB has no model of that name; `aesop models --search TEXT` lists names."
    )


def fetch(card: Card, quiet: bool = True) -> Path:
    """Return the file of a model, downloaded into our cache unless it is there with the SHA-256 that the card states.

    Raises ModelError if the card lacks something, or the file is not to be had, differs or is no generator; RunError
    if it cannot be written.
    """
    if card.lack:
        raise ModelError(f"{card.name}: {card.lack}; see {card.page}.")
    folder, kind = fetched_folder(), card.entry.resources[0]["type"].lower()
    target = folder / f"{card.name}.{kind}"
    try:
        if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == card.sha256:
            return target
        folder.mkdir(parents=True, exist_ok=True)
        # Nothing is found by its name before it has been checked.
        with TemporaryDirectory(dir=folder) as fresh:
            file = Path(_download(card, fresh, quiet))
            try:
                load_generator(file)
            except ModelError as error:
                raise ModelError(f"{str(error).replace(str(file), card.name)} Nothing is kept.") from error
            write_atomically(target.with_suffix(".md"), f"{card.about}; {card.page}\n")
            file.replace(target)
    except OSError as error:
        raise RunError(explained(error, folder)) from error
    return target


def _package() -> Any:
    try:
        return import_module("openmodeldb")
    except ImportError as error:
        raise MissingExtraError("OpenModelDB", "openmodeldb") from error


def _cards() -> list[Card]:
    package, folder = _package(), fetched_folder()
    known = {_plain(name) for each in MAIN_REGISTRY for name in (each.architecture.id, each.architecture.name)}
    try:
        entries = package.OpenModelDB(cache_dir=str(folder), download_dir=str(folder)).models
        return [_card(entry, known | _OTHER_NAMES) for entry in entries if _NAME.fullmatch(entry.id)]
    except package.OpenModelDBError as error:
        raise ModelError(
            f"OpenModelDB cannot be reached ({_clean(error)}); check the network and try again."
        ) from error
    except OSError as error:
        raise RunError(explained(error, folder)) from error
    except Exception as error:  # a list of another form raises all sorts of things
        raise ModelError(f"OpenModelDB: its list of models is damaged ({_clean(error)}); try again later.") from error


def _download(card: Card, folder: str, quiet: bool) -> str:
    package = _package()
    try:
        # Archives are unpacked there, too. With one file to choose from and no format asked for, none is converted.
        return package.OpenModelDB(cache_dir=folder, download_dir=folder).download(card.entry, quiet=quiet)
    except Exception as error:  # the package lets through what urllib and zipfile raise
        raise ModelError(
            f"{card.name}: nothing was fetched ({_clean(error).rstrip('.')}); try again later, or see {card.page}."
        ) from error


def _card(entry: Any, architectures: set[str]) -> Card:
    files = [
        file
        for suffix in reversed(SUFFIXES)
        for file in entry.resources or ()
        if isinstance(file, dict) and f".{file.get('type')}".lower() == suffix and file.get("urls")
    ]
    checked = [file for file in files if re.fullmatch("[0-9a-fA-F]{64}", str(file.get("sha256")))]
    file = (checked or files or [{}])[0]
    size, architecture = file.get("size"), _clean(entry.architecture)
    channels = [entry.data.get(key, 3) for key in ("inputChannels", "outputChannels")]
    lack = ""
    if not isinstance(entry.scale, int) or entry.scale < 2:
        lack = f"it is no SR model (its scale is {_clean(entry.scale)})"
    elif channels != [3, 3]:
        lack = "it is not for RGB pictures"
    elif _plain(architecture) not in architectures:
        lack = f"its architecture, {architecture}, cannot be read here"
    elif not files:
        lack = "it has no .safetensors or .pth file"
    elif not checked:
        lack = "its card states no SHA-256, by which the download could be checked"
    author, title, licence = _clean(entry.author), _clean(entry.name), _clean(entry.license or "none stated")
    megabytes = f"{size / 1e6:.1f} MB" if isinstance(size, int) else "? MB"
    about = f"x{_clean(entry.scale):3} {architecture:12} {megabytes:>9}  licence {licence}, by {author}"
    words = " ".join(map(str, (entry.id, title, author, architecture, *entry.tags, entry.description))).casefold()
    source = replace(entry, name=title, author=author, architecture=architecture, resources=[file])
    return Card(entry.id, title, about, words, lack, entry.scale, str(file.get("sha256")).lower(), source)


def _plain(architecture: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", architecture.lower())


def _clean(text: object) -> str:
    """What a stranger wrote, as one short line without control characters."""
    words = " ".join(str(text).split())
    return "".join(character for character in words if character.isprintable())[:300]
