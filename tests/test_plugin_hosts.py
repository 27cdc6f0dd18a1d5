"""The loss in the real trainers of docs/plugins.md, if they are installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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
from aesop.data.pictures import read_picture, write_picture
from aesop.losses.aesop import AESOPLoss
from helpers import synthetic_pictures
from plugin_parts import BASICSR, LIGHTNING, MMENGINE, TRAINER, equation_8


def needs(package: str) -> pytest.MarkDecorator:
    missing = find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed (docs/plugins.md)")


class Upscaler(nn.Module):
    """The smallest generator: x4, values inside [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, lr: Tensor) -> Tensor:
        return F.interpolate(self.last(lr).sigmoid(), scale_factor=4)


def pairs() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(F.avg_pool2d(hr, 4), hr) for hr in torch.rand(8, 3, 32, 32, generator=generator)]


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
    """Train with the options of docs/plugins.md."""
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

    # Every batch is all four pictures, so iteration 11 logs the loss of the network that iteration 10 saved.
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
