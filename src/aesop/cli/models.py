"""`aesop models`: parses, calls, prints."""

from __future__ import annotations

import sys
from typing import Annotated

from aesop.cli.options import Option
from aesop.errors import AesopError


def models(
    search: Annotated[
        str | None, Option(metavar="TEXT", help="List the SR models of OpenModelDB that have these words; '' for all.")
    ] = None,
    scale: Annotated[int | None, Option(min=2, metavar="N", help="With --search: of this scale alone.")] = None,
    get: Annotated[
        str | None, Option(metavar="NAME", help="Fetch this model from OpenModelDB, after showing its licence.")
    ] = None,
) -> None:
    """List models by name; find and fetch more of them.

    Lists those in the box, then those fetched before. Names work wherever a model file is expected. The card says what
    a model was trained on, its licences and limits. Only --search and --get ask OpenModelDB (openmodeldb.info); they
    need the extra `openmodeldb`. Downloads lie in $AESOP_CACHE/openmodeldb, or ~/.cache/aesop/openmodeldb. Respect each
    model's licence.
    """
    if get is not None and (search, scale) != (None, None):
        raise AesopError("--get: fetches one model by its name; leave out --search and --scale.")
    if scale is not None and search is None:
        raise AesopError("`--scale` needs `--search TEXT`.")
    if get is not None:
        _get(get)
    elif search is not None:
        _search(search, scale)
    else:
        _list()


def _list() -> None:
    from aesop.box import fetched
    from aesop.box import models as in_the_box
    from aesop.networks.state_dicts import read_metadata

    for name, file in in_the_box().items():
        size = f"{file.stat().st_size / 1e6:.1f} MB"
        print(f"{name:16} {size:>7}  {read_metadata(file)['recipe']['about']}; card: {file.with_suffix('.md')}")
    for name, file in fetched().items():
        card = file.with_suffix(".md")
        print(f"{name:40} {card.read_text(encoding='utf-8').strip() if card.is_file() else file}")


def _search(text: str, scale: int | None) -> None:
    from aesop.networks.openmodeldb import find_cards

    cards = find_cards(text, scale)
    usable = [card for card in cards if not card.lack]
    for card in usable:
        print(f"{card.name:40} {card.about}")
    if not usable:
        print("no model of OpenModelDB that can be used here has all of these words", file=sys.stderr)
    if others := len(cards) - len(usable):
        print(f"{others} more cannot be used here; --get NAME says why", file=sys.stderr)


def _get(name: str) -> None:
    from aesop.networks.openmodeldb import fetch, find_card

    card = find_card(name)
    print(f"{card.name}: {' '.join(card.about.split())}; {card.page}", flush=True)
    file = fetch(card, quiet=not sys.stdout.isatty())
    print(file)
    print(f"Use it by its name: aesop upscale PICTURE --model {card.name}")
