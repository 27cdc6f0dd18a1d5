"""Engines against eager float32; choosing one, and remembering the choice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aesop.errors import AesopError, MissingExtraError, ModelError
from aesop.networks.generators import SwinIRConfig
from aesop.networks.rrdb import RRDBNet
from aesop.networks.upconv import UpConvNet
from aesop.upscaling.engines.choose import EQUAL, LIMITS, Chosen, agreement, choose_engine, textured_crop
from aesop.upscaling.engines.guard import Guarded
from aesop.upscaling.engines.kinds import KINDS, EngineKind, find_kind
from aesop.upscaling.engines.memory import Measured, Record, memory_key, recall, remember
from aesop.upscaling.plan import sentence
from helpers import Repeat

CPU = torch.device("cpu")
SIZES = ((1, 27, 31), (2, 16, 40), (1, 5, 3))


class FakeTime:
    """A clock that only engines advance, by `cost` seconds per pixel."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs: list[str] = []

    def __call__(self) -> float:
        return self.now

    def kind(self, name: str, cost: float, error: float = 0.0, setup: float = 0.0, fails: bool = False) -> EngineKind:
        def build(model: nn.Module, _: torch.device) -> Callable[[Tensor], Tensor]:
            self.now += setup
            if fails:
                raise RuntimeError("no such layer")

            def run(images: Tensor) -> Tensor:
                self.now += cost * images[:, 0].numel()
                self.runs.append(name)
                return model(images) + error

            return run

        return EngineKind(name, build, lambda device: device.type == "cpu", lambda _: setup)


@pytest.fixture
def fake() -> FakeTime:
    return FakeTime()


def choose(fake: FakeTime, others: list[EngineKind], wanted: str = "auto", pixels: int = 1_000_000, **more) -> Chosen:
    """Choose between eager float32, which needs 1 ms a pixel, and `others`."""
    kinds = [fake.kind("torch", 1e-3), *others]
    tile = torch.rand(3, 300, 200)
    return choose_engine(Repeat(), "sha", tile, wanted=wanted, pixels=pixels, kinds=kinds, clock=fake, **more)


def error_of(decibels: float) -> float:
    return 10 ** (-decibels / 20)


def network(kind: str) -> nn.Module:
    return {"upconv": UpConvNet(4, 8, 2, 4), "rrdb": RRDBNet(2, 8, 1, 4)}[kind].eval()


@pytest.mark.parametrize("name", ["upconv", "rrdb"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_engine_makes_what_eager_float32_makes(kind: EngineKind, name: str):
    if not (kind.installed and kind.fits(CPU)):
        pytest.skip(f"{kind.name} is not installed, or not for this machine")
    model = network(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    engine = kind.build(model, CPU)
    for count, height, width in SIZES:
        images = torch.rand(count, 3, height, width)
        with torch.no_grad():
            reference = model(images)
        output = engine(images)
        assert (output.dtype, output.device, output.is_contiguous()) == (torch.float32, CPU, True)
        assert agreement(output, reference) > (LIMITS["auto"] if "bf16" in kind.name else LIMITS["exact"])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_agreement_is_the_psnr_of_what_is_written():
    image = torch.rand(1, 3, 8, 8) * 0.5
    assert agreement(image + 0.01, image) == pytest.approx(40, abs=1e-3)
    assert agreement(image, image) == EQUAL
    assert agreement(torch.full_like(image, 7), torch.ones_like(image)) == EQUAL
    assert agreement(image[..., 1:], image) == agreement(image * float("nan"), image) == 0


def test_the_fastest_engine_that_agrees_is_chosen(fake: FakeTime, tmp_path: Path):
    kinds = [
        fake.kind("slow", 2e-3),
        fake.kind("good", 0.8e-3, error_of(110)),
        fake.kind("near", 0.3e-3, error_of(55)),
        fake.kind("off", 0.01e-3, error_of(45)),
        fake.kind("nan", 0.01e-3, float("nan")),
        fake.kind("broken", 0.01e-3, fails=True),
    ]
    chosen = choose(fake, kinds, memory=tmp_path / "m.json")
    assert chosen.name == "near"
    assert str(chosen) == "engine: near, 3.3 x float32, 55 dB"
    assert chosen.seconds == pytest.approx(0.3e-3)
    chosen = choose(fake, kinds, "exact", memory=tmp_path / "m.json")
    assert chosen.name == "good"
    assert chosen.engine(torch.zeros(1, 3, 2, 2)).shape == (1, 3, 4, 4)
    # None is better than the plain network.
    chosen = choose(fake, kinds[:1], memory=tmp_path / "n.json")
    assert str(chosen) == "engine: torch"
    assert chosen.seconds == pytest.approx(1e-3)


def test_a_machine_that_was_busy_for_a_while_does_not_decide(fake: FakeTime, tmp_path: Path):
    """Eager float32's first five runs were slowed down; engines tried at that time are judged by its later runs."""
    kinds = [fake.kind("first", 0.5e-3), fake.kind("second", 0.25e-3)]
    eager = fake.kind("torch", 1e-3)

    def build(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
        run = eager.build(model, device)

        def waiting(images: Tensor) -> Tensor:
            if fake.runs.count("torch") < 5:
                fake.now += 0.03 * images[:, 0].numel()
            return run(images)

        return waiting

    kinds.insert(0, replace(eager, build=build))
    memory = tmp_path / "memory.json"
    given = {"wanted": "auto", "pixels": 10_000_000, "kinds": kinds, "memory": memory, "clock": fake}
    chosen = choose_engine(Repeat(), "sha", torch.rand(3, 300, 200), **given)
    assert str(chosen) == "engine: second, 4.0 x float32, equal"
    (remembered,) = json.loads(memory.read_text()).values()
    assert remembered["engines"]["first"]["speed"] == pytest.approx(2)


def test_trials_take_a_small_part_of_the_work(fake: FakeTime, tmp_path: Path):
    kinds = [fake.kind("a", 0.5e-3), fake.kind("b", 0.4e-3), fake.kind("c", 0.1e-3, setup=50)]
    for number, pixels in enumerate((2_000, 20_000, 200_000, 2_000_000)):
        fake.now = 0
        chosen = choose(fake, kinds, pixels=pixels, memory=tmp_path / f"{number}.json")
        assert fake.now <= 0.1 * pixels * 1e-3
        assert chosen.name == ["torch", "torch", "b", "c"][number]
    assert not (tmp_path / "0.json").exists()


def test_setting_up_counts(fake: FakeTime, tmp_path: Path):
    """An engine that is twice as fast but takes 5 s to set up pays off for pictures that take more than 10 s."""
    kinds, memory = [fake.kind("late", 0.5e-3, setup=5)], tmp_path / "memory.json"
    assert choose(fake, kinds, pixels=1_000_000, memory=memory).name == "late"
    assert choose(fake, kinds, pixels=12_000, memory=memory).name == "late"
    assert choose(fake, kinds, pixels=8_000, memory=memory).name == "torch"


def test_a_choice_is_remembered(fake: FakeTime, tmp_path: Path):
    kinds, memory = [fake.kind("fast", 0.2e-3), fake.kind("wrong", 0.1e-3, 0.5)], tmp_path / "new" / "memory.json"
    first = choose(fake, kinds, memory=memory)
    fake.runs.clear()
    again = choose(fake, kinds, memory=memory)
    assert (again.name, again.measured, fake.runs) == (first.name, first.measured, [])
    # A new engine is tried alone; earlier results are kept.
    assert choose(fake, [*kinds, fake.kind("faster", 0.1e-3)], memory=memory).name == "faster"
    assert set(fake.runs) == {"torch", "faster"}
    (record,) = json.loads(memory.read_text()).values()
    assert record["engines"].keys() == {"fast", "wrong", "faster"}
    # An engine that is remembered but fails now is skipped.
    broken = [fake.kind("faster", 0.1e-3, fails=True), *kinds]
    assert choose(fake, broken, memory=memory).name == "fast"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"x": {"seconds": "y"}}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_memory_is_ignored(fake: FakeTime, tmp_path: Path, content: bytes):
    memory = tmp_path / "memory.json"
    memory.write_bytes(content)
    assert choose(fake, [fake.kind("fast", 0.2e-3)], memory=memory).name == "fast"
    assert len(json.loads(memory.read_text())) == 1
    memory.unlink()
    memory.mkdir()  # where nothing can be written, nothing is remembered
    assert choose(fake, [fake.kind("fast", 0.2e-3)], memory=memory).name == "fast"


def test_models_machines_and_versions_are_told_apart(tmp_path: Path):
    assert memory_key("a", CPU) != memory_key("b", CPU)
    assert memory_key("a", CPU) != memory_key("a", torch.device("mps"))
    threads, before = torch.get_num_threads(), memory_key("a", CPU)
    torch.set_num_threads(threads + 1)
    assert memory_key("a", CPU) != before
    torch.set_num_threads(threads)
    path = tmp_path / "memory.json"
    for number in range(210):
        remember(path, str(number), Record(1.0, {"x": Measured(1.0, number, 0.0)}))
    assert len(json.loads(path.read_text())) == 200
    assert recall(path, "209").engines["x"].agreement == 209
    assert recall(path, "9") == Record()


def test_engines_by_name(fake: FakeTime, tmp_path: Path):
    kinds = [fake.kind("slow", 5e-3, 0.01), fake.kind("wrong", 1e-3, 0.5), fake.kind("broken", 1e-3, fails=True)]
    memory = tmp_path / "memory.json"
    assert str(choose(fake, kinds, "slow", memory=memory)) == "engine: slow, 0.2 x float32, 40 dB"
    for name in ("wrong", "broken"):
        with pytest.raises(ModelError, match=f"--engine {name}: cannot run this network as float32 does; take auto"):
            choose(fake, kinds, name, memory=memory)
    with pytest.raises(
        AesopError, match=r"--engine fast: no such engine; there are auto, exact, torch, slow, wrong, broken\."
    ):
        choose(fake, kinds, "fast", memory=memory)
    with pytest.raises(AesopError, match="--engine slow: does not run on this machine's meta"):
        find_kind("slow", torch.device("meta"), tuple(kinds))
    assert choose_engine(network("upconv"), "s", torch.rand(3, 9, 9), wanted="torch", pixels=81).name == "torch"


@pytest.mark.parametrize(("name", "extra"), [("openvino", "openvino"), ("onnx", "onnx"), ("ncnn", "ncnn")])
def test_a_missing_extra_is_named(name: str, extra: str):
    missing = [
        EngineKind(kind.name, kind.build, kind.fits, kind.setup, kind.extra, ("no_such_package",)) for kind in KINDS
    ]
    with pytest.raises(MissingExtraError, match=rf"--engine {name} needs .*; run: pip install 'aesop-sr\[{extra}\]'"):
        find_kind(name, CPU, tuple(missing))
    tile = torch.rand(3, 30, 30)
    assert choose_engine(network("upconv"), "s", tile, pixels=10**9, kinds=missing).name == "torch"


def test_the_crop_is_lively_and_of_the_tile():
    tile = torch.zeros(3, 120, 200, dtype=torch.uint8)
    assert textured_crop(tile, 25).shape == (1, 3, 25, 25)
    assert textured_crop(tile, 25).std() > 0.05  # made up: on black all engines agree
    tile[:, 95:, 60:80] = torch.randint(0, 256, (3, 25, 20), dtype=torch.uint8)
    crop = textured_crop(tile, 25)
    assert crop.shape == (1, 3, 25, 25)
    assert crop.std() > 0.2
    assert textured_crop(torch.rand(3, 7, 40), 25).shape == (1, 3, 7, 25)


def test_images_that_overflow_come_out_black_or_fail_are_redone():
    class Loud(nn.Module):
        """A network that exceeds float16's range on bright images."""

        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(6e4))

        def forward(self, images: Tensor) -> Tensor:
            return images * self.gain * images / self.gain * 2

    eager, half = (next(kind for kind in KINDS if kind.name == name).build for name in ("torch", "torch-fp16"))
    engine = Guarded(half(Loud(), CPU), eager(Loud(), CPU))
    dim, white = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 1.5)
    torch.testing.assert_close(engine(dim), 2 * dim**2, rtol=1e-2, atol=0)
    assert engine.redone == 0
    torch.testing.assert_close(engine(torch.cat([dim, white])), 2 * torch.cat([dim, white]) ** 2, rtol=1e-2, atol=0)
    assert engine.redone == 1
    black = Guarded(torch.zeros_like, lambda images: images + 1)
    assert black(torch.zeros(1, 3, 16, 16)).max() == 0  # black of black is right
    assert (black(dim).min(), black.redone) == (1.5, 1)

    def fail(images: Tensor) -> Tensor:
        raise RuntimeError("a shape that was taken for a constant")

    failing = Guarded(fail, lambda images: images + 1)
    assert (failing(dim).min(), failing.redone) == (1.5, 1)

    assert (failing(dim[..., :5]).min(), failing.redone) == (1.5, 1)  # tiny images are for float32 anyway

    for full in (torch.OutOfMemoryError(), RuntimeError("[enforce fail] can't allocate memory"), MemoryError()):

        def exhaust(images: Tensor, full: Exception = full) -> Tensor:
            raise full

        with pytest.raises(type(full)):  # in float32 there would be no more room
            Guarded(exhaust, eager(Loud(), CPU))(dim)
        assert sentence(full, Path("a.png")).startswith("not enough memory; ")


def test_eager_float32_by_name_tells_its_time_where_there_is_much_to_do(fake: FakeTime, tmp_path: Path) -> None:
    memory = tmp_path / "engines.json"
    assert choose(fake, [], wanted="torch", memory=memory).seconds == pytest.approx(1e-3)
    assert len(fake.runs) <= 4
    before = list(fake.runs)
    assert choose(fake, [], wanted="torch", pixels=20_000, memory=memory).seconds == 0
    assert fake.runs == before

    def build(model: nn.Module, _: torch.device) -> Callable[[Tensor], Tensor]:
        def run(images: Tensor) -> Tensor:
            raise MemoryError

        return run

    failing = EngineKind("torch", build, lambda _: True)  # each picture tells it
    found = choose_engine(
        Repeat(), "sha", torch.rand(3, 64, 64), wanted="torch", pixels=10**6, kinds=[failing], memory=memory
    )
    assert (found.name, found.seconds) == ("torch", 0)


def test_an_engine_that_memory_did_not_suffice_for_is_tried_another_time(fake: FakeTime, tmp_path: Path) -> None:
    def build(model: nn.Module, _: torch.device) -> Callable[[Tensor], Tensor]:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] can't allocate memory")

    memory = tmp_path / "engines.json"
    full = EngineKind("large", build, lambda _: True)
    assert choose(fake, [full, fake.kind("fails", 1e-4, fails=True)], memory=memory).name == "torch"
    assert set(recall(memory, memory_key("sha", CPU)).engines) == {"fails"}


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_network_with_windows_is_right_at_every_size(name: str):
    """Anything that tracing has turned into a constant would be wrong at other sizes."""
    if not next(kind for kind in KINDS if kind.name == name).installed:
        pytest.skip(f"{name} is not installed")
    model = (
        SwinIRConfig.model_validate({"type": "swinir", "features": 12, "groups": 1, "blocks": 2, "heads": 2})
        .build(2)
        .eval()
    )
    engine = next(kind for kind in KINDS if kind.name == name).build(model, CPU)
    for height, width in ((41, 51), (16, 40), (33, 24)):
        images = torch.rand(1, 3, height, width)
        with torch.no_grad():
            assert agreement(engine(images), model(images)) > LIMITS["exact"]
