"""Time and peak memory of `aesop upscale` on pictures of growing size.

    python benchmarks/large.py [--megapixels 0.1 1 6 24] [--engines exact auto] [--formats jpg png]
                               [--network srvgg|tiny] [--folder DIR]

Each picture, a JPEG like a camera's, is upscaled by 4 in its own process; start-up and loading of the model are
included. The choice of the engine is made once before, on a picture of one megapixel, and remembered. `srvgg` has
53,000 parameters (spandrel's Compact with 24 features and 8 convolutions); `tiny` has 4 features and one convolution,
so that reading and writing take most of the time. Weights are random. The number of threads is torch's default.
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
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder for pictures and results")
    asked = parser.parse_args()
    with TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        os.environ.setdefault("AESOP_CACHE", str(folder / "cache"))
        model = written_model(folder / "model.safetensors", asked.network)
        warm = written_picture(folder / "warm.jpg", 1)
        print(f"{asked.network}, {torch.get_num_threads()} threads: seconds, s per output megapixel, CPU s, peak MB")
        for engine in asked.engines:
            upscaled(warm, model, folder, engine, "jpg")
            for megapixels in asked.megapixels:
                picture = written_picture(folder / f"{megapixels:g}.jpg", megapixels)
                for suffix in asked.formats:
                    seconds, cpu, held = upscaled(picture, model, folder, engine, suffix)
                    numbers = f"{seconds:7.1f} {seconds / (16 * megapixels):7.3f} {cpu:7.1f} {held:6.0f}"
                    print(f"  {engine:20} {megapixels:6.1f} MP to {suffix}: {numbers}", flush=True)


def written_model(path: Path, size: str) -> Path:
    """Write a Compact network of this size, with random weights, as a model file."""
    torch.manual_seed(0)
    features, convolutions = SIZES[size]
    arguments = {"num_feat": features, "num_conv": convolutions}
    config = SpandrelConfig.model_validate({"type": "spandrel", "architecture": "Compact", "arguments": arguments})
    save_file(config.build(4).state_dict(), path)
    return path


def written_picture(path: Path, megapixels: float, across: float = 1.5) -> Path:
    """Write a JPEG picture that is `across` times as wide as it is high."""
    height = round((megapixels * 1e6 / across) ** 0.5)
    width = round(height * across)
    tile = to_picture(made_up_picture(768, 768)[0].mul(255).round().byte())
    image = libvips().Image.new_from_array(tile).replicate(width // 768 + 1, height // 768 + 1)
    image.crop(0, 0, width, height).copy(interpretation="srgb").jpegsave(str(path), Q=92)
    return path


def upscaled(picture: Path, model: Path, folder: Path, engine: str, suffix: str) -> tuple[float, float, float]:
    """Upscale a picture; return wall seconds, CPU seconds and peak memory in megabytes."""
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
    """A process's peak memory in megabytes; Linux only. The peak that `wait4` reports includes the parent's."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), default=0.0)


if __name__ == "__main__":
    main()
