"""`aesop upscale` on pictures of growing size: seconds and the most memory that its process held.

    python benchmarks/large.py [--megapixels 0.1 1 6 24] [--engines exact auto] [--formats jpg png]
                               [--network srvgg|tiny] [--folder DIR]

Each picture, by default a JPEG as a camera makes them, is upscaled by 4 in a process of its own: start, loading of the
model and choice of the engine count. The choice is made beforehand, on a picture of a megapixel, and remembered.
`srvgg` has 53,000 parameters (spandrel's Compact: 24 features, 8 convolutions), `tiny` 4 features and one convolution:
with it, pictures cost most. Weights are random. Threads and memory are torch's and the system's.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

from aesop.data.pictures import libvips, to_picture
from aesop.networks.spandrel_any import SpandrelConfig
from aesop.upscaling.tiles import made_up_picture

SIZES = {"srvgg": (24, 8), "tiny": (4, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megapixels", nargs="+", type=float, default=[0.1, 1, 6, 24])
    parser.add_argument("--engines", nargs="+", default=["exact", "auto"])
    parser.add_argument("--formats", nargs="+", default=["jpg", "png"])
    parser.add_argument("--network", choices=SIZES, default="srvgg")
    parser.add_argument("--folder", type=Path, help="where pictures and results lie; unset, a temporary folder")
    asked = parser.parse_args()
    with TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        os.environ.setdefault("AESOP_CACHE", str(folder / "cache"))
        model = written_model(folder / "model.safetensors", asked.network)
        warm = written_picture(folder / "warm.jpg", 1)
        print(f"{asked.network}, {torch.get_num_threads()} threads: seconds, per megapixel written, CPU s, MB held")
        for engine in asked.engines:
            upscaled(warm, model, folder, engine, "jpg")
            for megapixels in asked.megapixels:
                picture = written_picture(folder / f"{megapixels:g}.jpg", megapixels)
                for suffix in asked.formats:
                    seconds, cpu, held = upscaled(picture, model, folder, engine, suffix)
                    numbers = f"{seconds:7.1f} {seconds / (16 * megapixels):7.3f} {cpu:7.1f} {held:6.0f}"
                    print(f"  {engine:20} {megapixels:6.1f} MP to {suffix}: {numbers}", flush=True)


def written_model(path: Path, size: str) -> Path:
    """Write a network of spandrel's as a model file."""
    torch.manual_seed(0)
    features, convolutions = SIZES[size]
    arguments = {"num_feat": features, "num_conv": convolutions}
    config = SpandrelConfig.model_validate({"type": "spandrel", "architecture": "Compact", "arguments": arguments})
    save_file(config.build(4).state_dict(), path)
    return path


def written_picture(path: Path, megapixels: float, across: float = 1.5) -> Path:
    """Write a JPEG picture, `across` times as wide as high."""
    height = round((megapixels * 1e6 / across) ** 0.5)
    width = round(height * across)
    tile = to_picture(made_up_picture(768, 768)[0].mul(255).round().byte())
    image = libvips().Image.new_from_array(tile).replicate(width // 768 + 1, height // 768 + 1)
    image.crop(0, 0, width, height).copy(interpretation="srgb").jpegsave(str(path), Q=92)
    return path


def upscaled(picture: Path, model: Path, folder: Path, engine: str, suffix: str) -> tuple[float, float, float]:
    """Upscale a picture: wall and CPU seconds, and the most megabytes that were held."""
    form = {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    command = [sys.executable, "-m", "aesop", "upscale", str(picture), "--model", str(model), "--engine", engine]
    command += ["--output", str(folder / "out"), "--format", form, "--overwrite", "--device", "cpu"]
    start = time.perf_counter()
    process = os.posix_spawn(sys.executable, command, dict(os.environ))
    peak, waited = 0.0, os.wait4(process, os.WNOHANG)
    while not waited[0]:
        peak = max(peak, held(process))
        time.sleep(0.05)
        waited = os.wait4(process, os.WNOHANG)
    _, status, used = waited
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, peak


def held(process: int) -> float:
    """Return the most megabytes that a process has held. Linux only: what `wait4` says begins with its parent's."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), default=0.0)


if __name__ == "__main__":
    main()
