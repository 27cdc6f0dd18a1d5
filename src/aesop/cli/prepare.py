"""`aesop prepare`: parses, calls, prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from aesop.cli.options import Option, named_pictures


def prepare(
    *,
    data: Annotated[Path | None, Option(help="Folder of pictures: HR, or HR and LR.", metavar="DIR")] = None,
    hr: Annotated[Path | None, Option(help="Instead of --data: folder of HR pictures.", metavar="DIR")] = None,
    lr: Annotated[Path | None, Option(help="Folder of the LR pictures of --hr.", metavar="DIR")] = None,
    to: Annotated[str, Option(help="Address to write to: s3://BUCKET/PREFIX, file:///DIR.", metavar="ADDRESS")],
    scale: Annotated[int, Option(help="Of the LR pictures.", min=2, metavar="N")] = 4,
    shrink: Annotated[int, Option(help="Downscale HR by this first, as data.shrink does.", min=1, metavar="N")] = 1,
    tile: Annotated[int, Option(help="HR pixels a side of a tile, about.", min=32, metavar="N")] = 480,
) -> None:
    """Cut pictures into tiles in object storage.

    Train on them by --data ADDRESS. An interrupted preparation is resumed; nothing is written to the disk.
    """
    from aesop.data.objects import address_of
    from aesop.data.tiles import prepare_tiles
    from aesop.errors import DataError

    pictures = named_pictures(data, hr, lr)
    address = address_of(to)
    if address is None:
        raise DataError(f"--to {to}: is not an address; write s3://BUCKET/PREFIX, or file:///DIR for a folder.")
    count, tiles, told = prepare_tiles(pictures, address, scale, tile=tile, lr=lr, shrink=shrink)
    for line in told:
        print(line, file=sys.stderr)
    print(f"{address}: {tiles:,} tiles of {count:,} pictures")
