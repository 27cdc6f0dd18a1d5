"""The loss in other people's trainers: the real ones where installed, stand-ins for their registries elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import types
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

import aesop
from aesop.autoencoder import AutoEncoder
from aesop.data.pictures import read_picture, write_picture
from aesop.errors import AesopError, ModelError
from aesop.losses.aesop import AESOPLoss
from aesop.plugins import loss_named
from helpers import synthetic_pictures

TEXT = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
SHELL, BASICSR, TRAINNER, NEOSR, MMENGINE, LIGHTNING, TRAINER = re.findall(
    r"^```\w+\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE
)


def needs(package: str) -> pytest.MarkDecorator:
    missing = find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed (docs/plugins.md)")


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, 16, 16, generator=generator), torch.rand(2, 3, 16, 16, generator=generator)


def equation_8(sr: Tensor, hr: Tensor) -> Tensor:
    """The loss of images inside [0, 1], by the auto-encoder in the box alone."""
    autoencoder = AutoEncoder.load("auto-encoder-x4").eval()
    with torch.no_grad():
        return (autoencoder(sr) - autoencoder(hr)).abs().mean()


class Upscaler(nn.Module):
    """The smallest generator: x4, values inside [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, lr: Tensor) -> Tensor:
        return F.interpolate(self.last(lr).sigmoid(), scale_factor=4)


# Options, as every host hands them over.


def test_options_of_the_pixel_loss_fit():
    sr, hr = pair()
    loss = loss_named("any")(loss_weight=0.5, reduction="mean")
    assert loss(sr, hr).item() == pytest.approx(0.5 * equation_8(sr, hr).item(), rel=1e-5)


def test_mistakes_are_one_sentence():
    for autoencoder, said in {"clean-x4": "an auto-encoder is expected", "x3": "in the box are for x4"}.items():
        with pytest.raises(ModelError, match=said) as raised:
            loss_named("any")(autoencoder)
        assert "\n" not in str(raised.value)
    with pytest.raises(TypeError, match=r"^AESOPLoss\(\) got an unexpected keyword argument 'scale'"):
        loss_named("AESOPLoss")(scale=4)


# Registries of BasicSR's kind.


class Registry:
    """What the registries of BasicSR, traiNNer-redux and neosr have in common; traiNNer-redux's ignores case."""

    def __init__(self, key: Callable[[str], str] = str) -> None:
        self.key, self.entries = key, dict[str, Any]()

    def register(self, entry: Any) -> None:
        name = self.key(entry.__name__)
        assert name not in self.entries, f"{name} was already registered"
        self.entries[name] = entry

    def get(self, name: str) -> Any:
        return self.entries[self.key(name)]

    def __contains__(self, name: str) -> bool:
        return self.key(name) in self.entries

    def build(self, options: dict[str, Any]) -> Any:
        options = dict(options)
        loss = self.get(options.pop("type"))(**options)
        return loss.to(torch.device("cpu"), memory_format=torch.channels_last, non_blocking=True)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """Put a stand-in for a host into `sys.modules`."""

    def put(package: str, plugin: str, key: Callable[[str], str] = str) -> Registry:
        registry = Registry(key)
        for name in (package, f"{package}.utils", f"{package}.utils.registry"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules[f"{package}.utils.registry"].LOSS_REGISTRY = registry  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.delitem(sys.modules, f"aesop.plugins.{plugin}", raising=False)
        return registry

    return put


def toml(block: str) -> dict[str, Any]:
    return pytest.importorskip("tomllib").loads(block)  # Python 3.11


@pytest.mark.parametrize(
    ("package", "plugin", "key", "options"),
    [
        ("basicsr", "basicsr", str, lambda: yaml.safe_load(BASICSR)["train"]["pixel_opt"]),
        ("traiNNer", "trainner", str.lower, lambda: yaml.safe_load(TRAINNER)["train"]["losses"][0]),
        ("neosr", "neosr", str, lambda: toml(NEOSR)["train"]["pixel_opt"]),
    ],
)
def test_the_documents_options_build_the_loss(
    package: str, plugin: str, key: Callable[[str], str], options: Callable[[], dict[str, Any]],
    install: Callable[..., Registry],
):  # fmt: skip
    registry = install(package, plugin, key)
    if package == "traiNNer":
        registry.register(type("AESOPLoss", (nn.Module,), {}))
    for _ in range(2):  # as a drop-in file and a launcher together do
        sys.modules.pop(f"aesop.plugins.{plugin}", None)
        import_module(f"aesop.plugins.{plugin}")
    loss = registry.build(options())
    sr, hr = pair()
    assert type(loss) is AESOPLoss
    assert loss(sr, hr).item() == pytest.approx(equation_8(sr, hr).item(), rel=1e-5)
    assert not list(loss.parameters())


@pytest.mark.filterwarnings("ignore")  # nothing is copied to meta
def test_a_default_device_is_the_auto_encoders_too():
    """neosr sets it to CUDA."""
    with torch.device("meta"):
        assert {parameter.device.type for parameter in loss_named("any")().autoencoder.parameters()} == {"meta"}


def test_a_loss_of_the_hosts_own_is_not_passed_over_in_silence(install: Callable[..., Registry]):
    install("basicsr", "basicsr").register(type("AESOPLoss", (nn.Module,), {}))
    with pytest.raises(AesopError, match=r"^BasicSR has a loss of its own named AESOPLoss, and refuses a second one"):
        import_module("aesop.plugins.basicsr")


@pytest.mark.parametrize("plugin", ["basicsr", "trainner", "neosr", "mmengine"])
def test_without_its_host_a_plugin_says_what_to_do(plugin: str, monkeypatch: pytest.MonkeyPatch):
    for host in ("basicsr", "traiNNer", "neosr", "mmengine"):
        monkeypatch.setitem(sys.modules, host, None)  # as if it were not installed
        monkeypatch.delitem(sys.modules, f"{host}.utils.registry", raising=False)
        monkeypatch.delitem(sys.modules, f"{host}.registry", raising=False)
    monkeypatch.delitem(sys.modules, f"aesop.plugins.{plugin}", raising=False)
    with pytest.raises(AesopError, match=r"^\w[\w-]+ cannot be imported \(.*\); (run: pip install|call from).*\.$"):
        import_module(f"aesop.plugins.{plugin}")


def test_the_launcher_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "basicsr", None)
    monkeypatch.delitem(sys.modules, "aesop.plugins.basicsr", raising=False)
    with pytest.raises(SystemExit) as left:
        runpy.run_module("aesop.plugins.basicsr", run_name="__main__")
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith("aesop: BasicSR cannot be imported (")
    assert said.count("\n") == 1
    command = re.findall(r"run: (.*?) \(", said)[0]
    assert command in SHELL


# BasicSR itself.

TINY = """
name: tiny
model_type: ESRGANModel
scale: 4
num_gpu: 0
manual_seed: 0
datasets:
  train:
    {name: Tiny, type: PairedImageDataset, dataroot_gt: hr, dataroot_lq: lr, io_backend: {type: disk}, gt_size: 64,
     use_hflip: false, use_rot: false, num_worker_per_gpu: 0, batch_size_per_gpu: 4}
network_g: {type: RRDBNet, num_in_ch: 3, num_out_ch: 3, scale: 4, num_feat: 8, num_block: 1, num_grow_ch: 4}
network_d: {type: UNetDiscriminatorSN, num_in_ch: 3, num_feat: 8}
path: {pretrain_network_g: ~, resume_state: ~}
train:
  optim_g: {type: Adam, lr: 0.01}
  optim_d: {type: Adam, lr: 0.0001}
  scheduler: {type: MultiStepLR, milestones: [1000], gamma: 0.5}
  total_iter: 20
  gan_opt: {type: GANLoss, gan_type: vanilla, real_label_val: 1.0, fake_label_val: 0.0, loss_weight: 0.005}
logger: {print_freq: 1, save_checkpoint_freq: 10, use_tb_logger: false}
"""


def basicsr(folder: Path, **pixel: object) -> subprocess.CompletedProcess[str]:
    """Train with the options of the document."""
    options = yaml.safe_load(TINY)
    options["train"]["pixel_opt"] = {**yaml.safe_load(BASICSR)["train"]["pixel_opt"], **pixel}
    (folder / "tiny.yml").write_text(yaml.safe_dump(options), encoding="utf-8")
    path = os.pathsep.join([str(Path(aesop.__file__).parents[1]), *sys.path])
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "aesop.plugins.basicsr", "-opt", "tiny.yml"],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.long
@needs("basicsr")
def test_basicsr_trains_by_its_own_loop(tmp_path: Path):
    hr = torch.stack([tensor_of(path) for path in synthetic_pictures(tmp_path / "hr", 4, 64)])
    for number, path in enumerate(sorted((tmp_path / "hr").iterdir())):
        small = F.interpolate(hr[number : number + 1], scale_factor=0.25, mode="area")[0]
        write_picture(tmp_path / "lr" / path.name, (small * 255).round().byte().permute(1, 2, 0).numpy())
    lr = torch.stack([tensor_of(path) for path in sorted((tmp_path / "lr").iterdir())])

    done = basicsr(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Loss [AESOPLoss] is created." in done.stderr
    pixel = [float(value) for value in re.findall(r"l_g_pix: (\S+)", done.stderr)]
    assert len(pixel) == 20
    assert pixel[-1] < 0.8 * pixel[0]

    # Every batch is all four pictures: what iteration 11 has logged is the loss of the network that iteration 10 saved.
    state = torch.load(tmp_path / "experiments/tiny/models/net_g_10.pth", weights_only=True)["params"]
    import_module("aesop.plugins.basicsr")
    generator = import_module("basicsr.archs").build_network(yaml.safe_load(TINY)["network_g"])
    generator.load_state_dict(state)
    with torch.no_grad():
        sr = generator(lr)
    seen = sr.clamp(0, 1)
    assert pixel[10] == pytest.approx((equation_8(seen, hr) + F.l1_loss(sr, seen)).item(), rel=1e-3)

    wrong = basicsr(tmp_path, autoencoder="clean-x4")
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1].endswith("an auto-encoder is expected here.")
    assert "Traceback" not in wrong.stderr


def tensor_of(path: Path) -> Tensor:
    return torch.from_numpy(read_picture(path)).permute(2, 0, 1) / 255


# mmengine itself.

BASE = """
model = dict(
    type="TinySR", generator=dict(type="Upscaler"), pixel_loss=dict(type="L1Loss", loss_weight=1e-2, reduction="mean")
)
train_dataloader = dict(
    batch_size=8, num_workers=0, dataset=dict(type="Pairs"), sampler=dict(type="DefaultSampler"),
    collate_fn=dict(type="default_collate"),
)
train_cfg = dict(by_epoch=False, max_iters=4)
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-2))
default_hooks = dict(checkpoint=dict(type="CheckpointHook", interval=4, by_epoch=False))
"""


@pytest.mark.long
@needs("mmengine")
def test_mmengine_builds_and_trains_by_its_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mmengine.config import Config  # pyright: ignore[reportMissingImports]
    from mmengine.model import BaseModel  # pyright: ignore[reportMissingImports]
    from mmengine.registry import DATASETS, MODELS, DefaultScope, Registry  # pyright: ignore[reportMissingImports]
    from mmengine.runner import Runner  # pyright: ignore[reportMissingImports]

    for registry in (MODELS, DATASETS):
        monkeypatch.setattr(registry, "_module_dict", dict(registry._module_dict))
    monkeypatch.delitem(sys.modules, "aesop.plugins.mmengine", raising=False)
    child = Registry("model", parent=MODELS, scope="child", locations=[])  # as mmagic's
    losses: list[Tensor] = []

    class TinySR(BaseModel):
        def __init__(self, generator: dict[str, Any], pixel_loss: dict[str, Any]) -> None:
            super().__init__()
            self.generator, self.pixel_loss = MODELS.build(generator), child.build(pixel_loss)

        def forward(self, lr: Tensor, hr: Tensor, mode: str) -> dict[str, Tensor]:
            loss = self.pixel_loss(self.generator(lr), hr)
            losses.append(loss.detach())
            return {"loss": loss}

    MODELS.register_module(module=TinySR)
    MODELS.register_module(module=Upscaler)
    DATASETS.register_module(name="Pairs", module=lambda: pairs())
    (name,) = re.findall(r'_base_ = "(.*)"', MMENGINE)
    (tmp_path / name).write_text(BASE, encoding="utf-8")
    (tmp_path / "mine.py").write_text(MMENGINE, encoding="utf-8")
    try:
        config = Config.fromfile(tmp_path / "mine.py")
        runner = Runner.from_cfg(Config({**config, "work_dir": str(tmp_path / "run")}))
        runner.train()
    finally:
        MODELS.children.pop("child")
        DefaultScope._instance_dict.clear()
    assert type(runner.model.pixel_loss) is AESOPLoss
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    saved = torch.load(tmp_path / "run" / "iter_4.pth", weights_only=False)
    assert set(saved["state_dict"]) == {"generator.last.weight", "generator.last.bias"}
    assert len(saved["optimizer"]["param_groups"][0]["params"]) == 2


# The document's examples.


def pairs() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(F.avg_pool2d(hr, 4), hr) for hr in torch.rand(8, 3, 32, 32, generator=generator)]


@pytest.mark.long
@needs("lightning")
@pytest.mark.filterwarnings("ignore")
def test_the_lightning_example_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    generator = Upscaler()
    before = generator.last.weight.detach().clone()
    exec(LIGHTNING, {"generator": generator, "pairs": torch.utils.data.DataLoader(pairs(), 2)})  # pyright: ignore[reportArgumentType]
    assert not torch.equal(before, generator.last.weight.cpu())
    (saved,) = tmp_path.rglob("*.ckpt")
    assert set(torch.load(saved, weights_only=False)["state_dict"]) == {"generator.last.weight", "generator.last.bias"}


@pytest.mark.long
@needs("transformers")
@needs("accelerate")
@pytest.mark.filterwarnings("ignore")
def test_the_trainer_example_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    generator = Upscaler()
    before = generator.last.weight.detach().clone()
    exec(TRAINER, {"generator": generator, "pairs": [{"lr": lr, "hr": hr} for lr, hr in pairs()]})
    assert not torch.equal(before, generator.last.weight.cpu())
    from safetensors.torch import load_file

    (saved,) = (tmp_path / "run").rglob("*.safetensors")
    assert set(load_file(saved)) == {"generator.last.weight", "generator.last.bias"}
