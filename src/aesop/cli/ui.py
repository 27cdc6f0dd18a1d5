"""`aesop ui`: parses, calls, prints."""

from __future__ import annotations

from typing import Annotated

from aesop.cli.options import Device, Option


def ui(
    model: Annotated[
        list[str] | None, Option(metavar="FILE|RUN", help="Offer this model beside `aesop models`. Repeatable.")
    ] = None,
    host: Annotated[str, Option(help="Address to listen on; unset, this computer alone.")] = "127.0.0.1",
    port: Annotated[int | None, Option(min=1, max=65535, metavar="N", help="Unset, the first free from 7860.")] = None,
    browser: Annotated[bool, Option("--browser", help="Open the page in a browser.")] = False,
    device: Device = "auto",
) -> None:
    """Serve a page that upscales pictures, until Ctrl-C.

    Results keep what `aesop upscale` keeps, byte for byte the same files. Needs the extra `ui`.
    """
    from aesop.ui.serve import serve

    serve(model or (), host=host, port=port, device=device, open_browser=browser)
