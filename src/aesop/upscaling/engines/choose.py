"""Which engine runs a model here: measured on a crop of the first tile, weighed by the work that there is to do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from aesop.data.bicubic import PEAKS
from aesop.device import is_out_of_memory
from aesop.errors import ModelError
from aesop.upscaling.engines.guard import Guarded
from aesop.upscaling.engines.kinds import KINDS, Engine, EngineKind, find_kind
from aesop.upscaling.engines.memory import Measured, Record, memory_file, memory_key, recall, remember
from aesop.upscaling.tiles import STEP, made_up_picture

#: The PSNR in dB between an engine's output and eager float32's from which on a choice accepts it.
LIMITS = {"exact": 100.0, "auto": 50.0}
#: Of an engine that is asked for by name: below, its pictures are not the network's.
LEAST = 30.0
#: No PSNR is told beyond this: equal.
EQUAL = 200.0
#: The part of the expected work that trials may take.
SHARE = 0.1
#: The crop has this part of all pixels, within these sides: multiples of STEP as those of tiles.
CROP_SHARE, SMALLEST, LARGEST = 0.0025, 32, 96
#: Timed runs of each side, in turns.
RUNS = 2
#: A trial costs about this many crops in eager float32.
TRIAL = 2 * RUNS + 2
#: Crops of less contrast (standard deviation) would agree whatever an engine does.
FLAT = 0.02


@dataclass(frozen=True)
class Chosen:
    """An engine, ready to run, and what it was found to be (None: nothing was tried).

    `seconds` is what an LR pixel takes, 0 where that is not known.
    """

    name: str
    engine: Engine
    measured: Measured | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        """Tell the choice in one line."""
        if self.measured is None:
            return f"engine: {self.name}"
        agreement = "equal" if self.measured.agreement >= EQUAL else f"{self.measured.agreement:.0f} dB"
        return f"engine: {self.name}, {self.measured.speed:.1f} x float32, {agreement}"


def choose_engine(
    model: nn.Module,
    sha256: str,
    tile: Tensor,
    *,
    wanted: str = "auto",
    pixels: int,
    device: torch.device | str = "cpu",
    kinds: Sequence[EngineKind] = KINDS,
    memory: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Chosen:
    """Choose what runs `model`, a generator in float32 on the CPU, on about `pixels` LR pixels.

    The first of `kinds` is eager float32, which the others are measured against. `exact` is the fastest engine at
    100 dB or more from it, `auto` at 50 dB or more, the time to set it up included; other values of `wanted` name an
    engine. Speed and PSNR are measured on a crop of `tile`, (3, h, w) uint8, uint16 or float, as long as trials take
    a small part of the expected work. What was measured of the model with this `sha256` on this machine is remembered
    in the file `memory`, unset in the cache folder.

    Raises AesopError for an engine that there is not, MissingExtraError for one that is not installed, ModelError for
    one by name that cannot run this network.
    """
    device = torch.device(device)
    memory = memory or memory_file()
    key = memory_key(sha256, device)
    named = None if wanted in LIMITS else find_kind(wanted, device, tuple(kinds))
    record = recall(memory, key)
    eager, *others = kinds
    trials = _Trials(model, tile, pixels, device, record, eager, clock)
    if named is not None:
        return _by_name(trials, named)
    limit = LIMITS[wanted]
    usable = {kind.name: kind for kind in others if kind.fits(device) and kind.installed}
    before = dict(record.engines)
    for kind in usable.values():
        if kind.name not in record.engines and trials.affordable(kind):
            trials.measure(kind)
    while True:
        best = fastest(record, usable, limit, pixels)
        if best is None:
            chosen = Chosen(eager.name, trials.eager, seconds=record.seconds)
            break
        try:
            found = record.engines[best]
            chosen = Chosen(best, trials.guarded(usable[best]), found, record.seconds / found.speed)
            break
        except Exception:  # it was fine when it was measured
            record.engines[best] = Measured(0.0, 0.0, 0.0)
    if record.engines != before:
        remember(memory, key, record)
    return chosen


def require_engine(wanted: str, device: torch.device) -> None:
    """Raise AesopError for an engine that there is not, MissingExtraError for one that is not installed."""
    if wanted not in LIMITS:
        find_kind(wanted, device)


def fastest(record: Record, names: Sequence[str] | dict[str, EngineKind], limit: float, pixels: int) -> str | None:
    """Name the engine that is done first, its set-up included; None where that is eager float32 itself."""
    work = record.seconds * pixels
    times = {
        name: found.setup + work / found.speed
        for name, found in record.engines.items()
        if name in names and found.agreement >= limit and found.speed > 0
    }
    best = min(times, key=times.__getitem__, default=None)
    return best if best is not None and times[best] < work else None


def agreement(output: Tensor, reference: Tensor) -> float:
    """Return the PSNR in dB between two outputs, as they are written: clamped to [0, 1]; 0 if one is not a number."""
    if output.shape != reference.shape or not (output.isfinite().all() and reference.isfinite().all()):
        return 0.0
    error = (output.clamp(0, 1).double() - reference.clamp(0, 1).double()).square().mean().item()
    return EQUAL if error == 0 else min(-10 * math.log10(error), EQUAL)


def _by_name(trials: _Trials, kind: EngineKind) -> Chosen:
    if kind is trials.eager_kind:
        with suppress(Exception):  # which each picture will tell
            trials.affordable(kind)  # times it on the crop, where that is a small part of the work
        return Chosen(kind.name, trials.eager, seconds=trials.record.seconds)
    found = trials.measure(kind)
    if found.agreement < LEAST:
        raise ModelError(f"--engine {kind.name}: cannot run this network as float32 does; take auto or exact.")
    return Chosen(kind.name, trials.guarded(kind), found, trials.record.seconds / found.speed)


class _Trials:
    """Engines of one model, built once each, and measured on one crop."""

    def __init__(
        self,
        model: nn.Module,
        tile: Tensor,
        pixels: int,
        device: torch.device,
        record: Record,
        eager: EngineKind,
        clock: Callable[[], float],
    ) -> None:
        self.model, self.tile, self.pixels, self.device = model, tile, pixels, device
        self.record, self.eager_kind, self.clock = record, eager, clock
        self.start = clock()
        self.built: dict[str, Engine] = {}
        self.references: list[Tensor] = []
        self.seconds = math.inf
        self.times: dict[str, float] = {}
        side = math.isqrt(int(pixels * CROP_SHARE)) // STEP * STEP
        self.crop = textured_crop(tile, max(SMALLEST, min(side, LARGEST)))
        # Of odd sides too: what a conversion took for a constant is wrong at one of the two.
        height, width = self.crop.shape[-2:]
        self.crops = self.crop, self.crop[..., : height // 2 | 1, : width // 2 | 1].contiguous()

    @property
    def eager(self) -> Engine:
        return self.engine(self.eager_kind)

    def engine(self, kind: EngineKind) -> Engine:
        if kind.name not in self.built:
            self.built[kind.name] = kind.build(self.model, self.device)
        return self.built[kind.name]

    def guarded(self, kind: EngineKind) -> Guarded:
        return Guarded(self.engine(kind), self.eager)

    def affordable(self, kind: EngineKind) -> bool:
        """Whether trying an engine out keeps all trials within their share of the work."""
        crop = self.crop[0, 0].numel()
        if TRIAL * crop > SHARE * self.pixels:
            return False
        self.run_reference()
        budget = SHARE * self.record.seconds * self.pixels - (self.clock() - self.start)
        return kind.setup(self.model) + TRIAL * self.seconds <= budget

    def run_reference(self) -> list[Tensor]:
        if not self.references:
            self.references = [self.eager(crop) for crop in self.crops]
            self.time_eager()  # the second run: the first one allocates
        return self.references

    def timed(self, engine: Engine) -> float:
        start = self.clock()
        engine(self.crop)
        return self.clock() - start

    def time_eager(self) -> None:
        """Time eager float32 once more; the least of all its turns counts, for every engine: other work slows some."""
        self.seconds = min(self.seconds, self.timed(self.eager))
        self.record.seconds = self.seconds / self.crop[0, 0].numel()

    def weigh(self) -> None:
        """Record the speed of all engines that were timed."""
        for name, seconds in self.times.items():
            self.record.engines[name] = replace(self.record.engines[name], speed=self.seconds / seconds)

    def measure(self, kind: EngineKind) -> Measured:
        """Try an engine out, and record it."""
        references = self.run_reference()
        start = self.clock()
        try:
            engine = self.engine(kind)
            outputs = [engine(crop) for crop in self.crops]
            setup = self.clock() - start
            agreed = min(map(agreement, outputs, references))
            if agreed >= LEAST:
                times = []
                for _ in range(RUNS):
                    self.time_eager()
                    times.append(max(self.timed(engine), 1e-9))
                self.times[kind.name] = min(times)
                setup = max(setup - min(times), 0.0)
        except Exception as error:  # runtimes raise their own
            self.built.pop(kind.name, None)
            if is_out_of_memory(error):  # says nothing of another day
                return Measured(0.0, 0.0, 0.0)
            agreed, setup = 0.0, 0.0
        self.record.engines[kind.name] = Measured(0.0, agreed, setup)
        self.weigh()
        return self.record.engines[kind.name]


def textured_crop(tile: Tensor, side: int) -> Tensor:
    """Cut the liveliest part of `side` pixels from a tile: (1, 3, h, w) in float32.

    Where all of it is flat, a made-up picture takes its place: on black, everything agrees.
    """
    levels = PEAKS.get(tile.dtype, 1)
    height, width = (min(side, length) for length in tile.shape[-2:])
    rows, columns = (
        sorted({round(part * (length - size) / 3) for part in range(4)})
        for length, size in zip(tile.shape[-2:], (height, width), strict=True)
    )
    corners = [(top, left) for top in rows for left in columns]
    crops = [tile[:, top : top + height, left : left + width].float() / levels for top, left in corners]
    best = max(crops, key=lambda crop: crop.var(dim=(1, 2), correction=0).mean().item())
    if best.std(correction=0) < FLAT:
        return made_up_picture(height + -height % 16, width + -width % 16)[..., :height, :width].contiguous()
    return best[None].contiguous()
