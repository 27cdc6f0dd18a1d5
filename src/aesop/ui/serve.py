"""Serving the page of `aesop ui`, in a temporary folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from tempfile import TemporaryDirectory

from aesop.box import AUTO, fetched, models
from aesop.device import choose_device
from aesop.errors import MissingExtraError, RunError
from aesop.networks.loading import load_generator
from aesop.networks.state_dicts import read_metadata

#: Bytes of the largest upload.
LARGEST = 200_000_000
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    chosen: Sequence[str] = (),
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    device: str = "auto",
    open_browser: bool = False,
) -> None:
    """Serve the page until Ctrl-C, after printing its address.

    `chosen` are run folders and model files to offer beside `aesop models`, the first one preselected. Uploads and
    results lie in a temporary folder that goes with the process; nothing else is served. Raises MissingExtraError
    without the extra `ui`, ModelError for a file that is no model, RunError where the address is taken.
    """
    choose_device(device)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port or 0), family=family).close()
    except OSError as error:
        wanted = f"--host {host}" + (f" --port {port}" if port else "")
        raise RunError(f"{wanted}: cannot be served there ({error.strerror}); choose another.") from error
    for model in chosen:
        load_generator(model)
    generators = [name for name, file in models().items() if read_metadata(file).get("stage") != "autoencoder"]
    offered = list(dict.fromkeys((*chosen, AUTO, *generators, *fetched())))
    with TemporaryDirectory(prefix="aesop-ui-", ignore_cleanup_errors=True) as folder:
        # Gradio reads both while it is imported.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            from aesop.ui.page import THEME, build
        except ImportError as error:
            raise MissingExtraError("aesop ui", "ui") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the folder goes
        page = build(offered, chosen[0] if chosen else AUTO, folder, device)
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=open_browser,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=LARGEST,
            ssr_mode=False,
            footer_links=[],
            theme=THEME,
        )
        print(address, flush=True)
        if host not in LOOPBACK:
            print(f"Whoever can reach {host} can use this page.", file=sys.stderr)
        page.block_thread()
