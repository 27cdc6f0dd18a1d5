"""Strips of rows, handed to libvips as one image while they are made: nothing but a few strips is in memory.

libvips reads them as a PNG without compression, from a queue, in a thread of its own. So encoding runs beside the
network.
"""

from __future__ import annotations

import queue
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from aesop.data.pictures import libvips

Write = Callable[[np.ndarray], None]

#: Bytes that are handed over at once.
_BLOCK = 4_000_000
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


@contextmanager
def strip_stream(
    height: int, width: int, bands: int, dtype: type[np.generic], consume: Callable[[Any], None]
) -> Iterator[Write]:
    """Yield a function that takes strips, (rows, width, bands) of `dtype` (uint8 or uint16), from top to bottom.

    `consume` gets the whole as a sequential libvips image; what it raises is raised here.
    """
    blocks: queue.Queue[bytes | None] = queue.Queue(maxsize=2)
    finished = threading.Event()
    failures: list[BaseException] = []
    rest = memoryview(b"")

    def read(size: int) -> bytes:
        nonlocal rest
        if not rest:
            rest = memoryview(blocks.get() or b"")
            if not rest:
                blocks.put(None)  # it may be asked again
        part, rest = rest[:size], rest[size:]
        return bytes(part)

    def work() -> None:
        try:
            source = libvips().SourceCustom()
            source.on_read(read)
            consume(libvips().Image.pngload_source(source, access="sequential", fail_on="error"))
        except BaseException as error:  # raised in the caller's thread
            failures.append(error)
        finally:
            finished.set()

    def put(block: bytes | None) -> None:
        while not finished.is_set():
            try:
                return blocks.put(block, timeout=0.1)
            except queue.Full:
                continue
        return None

    compressor = zlib.compressobj(0)
    thread = threading.Thread(target=work, daemon=True)
    depth = 16 if dtype == np.uint16 else 8
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[bands], 0, 0, 0)
    rows_done = 0

    def write(strip: np.ndarray) -> None:
        nonlocal rows_done
        if strip.shape[1:] != (width, bands) or strip.dtype != dtype or rows_done + len(strip) > height:
            raise ValueError(f"a strip of {strip.shape} {strip.dtype} does not fit {height} x {width} x {bands}")
        few = max(_BLOCK // strip[:1].nbytes, 1)
        for top in range(0, len(strip), few):
            part = strip[top : top + few]
            big_endian = np.ascontiguousarray(part.astype(part.dtype.newbyteorder(">"), copy=False))
            lines = big_endian.view(np.uint8).reshape(len(part), -1)
            data = compressor.compress(np.pad(lines, ((0, 0), (1, 0))).data)  # each row begins with its filter: none
            put(png_chunk(b"IDAT", data))
        rows_done += len(strip)
        if failures:
            raise failures[0]

    thread.start()
    try:
        put(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header))
        yield write
        if rows_done < height:
            raise ValueError(f"{rows_done} rows of {height} were written")
        put(png_chunk(b"IDAT", compressor.flush()) + png_chunk(b"IEND", b""))
    finally:
        put(None)
        thread.join()
    if failures:
        raise failures[0]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
