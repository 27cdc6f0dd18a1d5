"""The AESOP loss as a part of another trainer: what the trainer sees of it, options, and invalid images."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

import aesop
from aesop.autoencoder import AutoEncoder
from aesop.losses.aesop import AESOPLoss
from aesop.networks.generators import SRVGGConfig


def loss_of(**options: object) -> AESOPLoss:
    torch.manual_seed(0)
    decoder = SRVGGConfig(type="srvgg", features=8, convs=1).build(4)
    return AESOPLoss(AutoEncoder(decoder, 4, features=8, growth=4, blocks=1), **options)  # pyright: ignore[reportArgumentType]


def images(seed: int = 0, channels: int = 3, side: int = 16) -> Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(seed))


class Host(nn.Module):
    """A trainer's module with generator and loss in one, as in Lightning."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Conv2d(3, 3, 1)
        self.loss = loss_of()

    def forward(self, lr: Tensor, hr: Tensor) -> Tensor:
        return self.loss(self.generator(lr), hr)


def gradient_of(host: nn.Module, generator: nn.Module) -> Tensor:
    host(images(1), images(2)).backward()
    assert isinstance(generator.weight, Tensor)
    assert generator.weight.grad is not None
    return generator.weight.grad


# What the host sees.


def zero(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.zeros_(module.weight)


def test_a_host_neither_saves_nor_trains_the_auto_encoder():
    host = Host()
    assert set(host.state_dict()) == {"generator.weight", "generator.bias"}
    assert [name for name, _ in host.named_parameters()] == ["generator.weight", "generator.bias"]
    assert list(host.loss.modules()) == [host.loss]
    host.eval().train().requires_grad_()
    host.apply(zero)
    parts = list(host.loss.autoencoder.modules())
    assert not any(part.training for part in parts)
    assert not any(parameter.requires_grad for parameter in host.loss.autoencoder.parameters())
    assert any(parameter.any() for parameter in host.loss.autoencoder.parameters())
    host.load_state_dict(Host().state_dict(), strict=True)


def test_a_host_takes_the_auto_encoder_along():
    host = Host().double()
    assert {parameter.dtype for parameter in host.loss.autoencoder.parameters()} == {torch.float64}
    host.to("meta")
    assert {parameter.device.type for parameter in host.loss.autoencoder.parameters()} == {"meta"}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda host: pickle.loads(pickle.dumps(host))])
def test_copies_of_a_host_have_an_auto_encoder_of_their_own(copied):  # pyright: ignore[reportMissingParameterType]
    host = Host()
    other = copied(host)
    assert torch.equal(gradient_of(other, other.generator), gradient_of(host, host.generator))
    assert other.loss.autoencoder is not host.loss.autoencoder
    assert not any(parameter.requires_grad for parameter in other.loss.autoencoder.parameters())
    assert len(other.state_dict()) == 2
    other.double()
    assert {parameter.dtype for parameter in host.loss.autoencoder.parameters()} == {torch.float32}


def test_a_compiled_host_does_the_same():
    host = Host()
    expected = gradient_of(host, host.generator).clone()
    host.zero_grad()
    host.compile(backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(gradient_of(host, host.generator), expected)


def test_a_distributed_host_does_the_same(tmp_path: Path):
    host = Host()
    expected = gradient_of(host, host.generator).clone()
    host.zero_grad()
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(host)
        torch.testing.assert_close(gradient_of(wrapped, host.generator), expected)
        assert set(wrapped.module.state_dict()) == {"generator.weight", "generator.bias"}
    finally:
        torch.distributed.destroy_process_group()


def half_of_a_batch(rank: int, folder: str) -> None:
    """One of two processes that share a batch; the first keeps the gradient."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/two", rank=rank, world_size=2)
    torch.manual_seed(0)
    host = Host()
    wrapped = DistributedDataParallel(host)
    wrapped(images(1)[rank : rank + 1], images(2)[rank : rank + 1]).backward()
    if rank == 0:
        torch.save(host.generator.weight.grad, f"{folder}/gradient.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.long
def test_two_processes_with_half_a_batch_each_have_the_gradient_of_the_whole(tmp_path: Path):
    host = Host()
    expected = gradient_of(host, host.generator)
    spawn(half_of_a_batch, (str(tmp_path),), nprocs=2)
    found = torch.load(tmp_path / "gradient.pt", weights_only=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


# Options.


def test_the_map_is_equation_8_of_every_pixel():
    sr, hr = images(1), images(2)
    sr[0, 0, 0, 0] = 3.0
    loss = loss_of(reduction="none")
    found = loss(sr, hr)
    expected = (loss.autoencoder(hr) - loss.autoencoder(sr.clamp(0, 1))).abs()
    expected[0, 0, 0, 0] += 2
    torch.testing.assert_close(found, expected)
    assert found.mean().item() == pytest.approx(loss_of()(sr, hr).item(), rel=1e-6)


def test_the_weight_multiplies_both_terms():
    sr, hr = images(1) + 0.5, images(2)
    assert loss_of(loss_weight=0.25)(sr, hr).item() == pytest.approx(0.25 * loss_of()(sr, hr).item(), rel=1e-6)
    with pytest.raises(ValueError, match=r"reduction is 'sum'; it must be 'mean' or 'none'"):
        loss_of(reduction="sum")


@pytest.mark.parametrize("model", ["x4", "auto-encoder-x4", aesop.models()["auto-encoder-x4"]])
def test_pretrained_is_the_auto_encoder_in_the_box(model: Path | str):
    found, expected = AESOPLoss.pretrained(model, loss_weight=2.0), AutoEncoder.load("auto-encoder-x4").state_dict()
    assert found.loss_weight == 2
    torch.testing.assert_close(found.autoencoder.state_dict(), expected, rtol=0, atol=0)


def test_pretrained_names_what_there_is():
    with pytest.raises(aesop.AesopError, match=r"^x3: .* in the box are for x4; "):
        AESOPLoss.pretrained("x3")
    with pytest.raises(aesop.AesopError, match="an auto-encoder is expected"):
        AESOPLoss.pretrained("clean-x4")


# Images that do not fit.


@pytest.mark.parametrize(
    ("sr", "hr", "said"),
    [
        (images(), images(side=20), r"SR is \(2, 3, 16, 16\) and HR \(2, 3, 20, 20\)"),
        (images(side=18), images(side=18), "18x18 are not a multiple of the scale 4"),
        (images(channels=1), images(channels=1), "grey repeated three times"),
        (images()[0], images()[0], r"must be \(N, 3, H, W\)"),
        (images(), (images() * 255).byte(), r"HR is torch.uint8; .* in \[0, 1\]"),
        (images().int(), images(), "SR is torch.int32"),
        (images() * 255, images() * 255, r"HR has values from .* they must be in \[0, 1\]"),
        (images(), images() * 2 - 1, "HR has values from -"),
        (images().to("meta"), images(), "SR is on meta, the auto-encoder on cpu"),
        (images(), images().to("meta"), "HR is on meta, the auto-encoder on cpu"),
    ],
)
def test_images_that_do_not_fit_get_one_sentence(sr: Tensor, hr: Tensor, said: str):
    with pytest.raises(ValueError, match=said) as raised:
        loss_of()(sr, hr)
    assert "\n" not in str(raised.value)


def test_overshoots_pass_and_nan_is_told_in_hr_and_shows_in_sr():
    sr, hr = images(1), images(2)
    hr[0, 0, 0, :2] = torch.tensor([-0.2, 1.2])
    assert loss_of()(sr, hr).isfinite()
    sr[0, 0, 0, 0] = torch.nan
    assert loss_of()(sr, hr).isnan()
    hr[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="HR holds NaN"):
        loss_of()(images(1), hr)


def test_values_are_looked_at_until_a_batch_is_in_range_and_not_again():
    loss = loss_of()
    for _ in range(2):
        with pytest.raises(ValueError, match="HR has values"):
            loss(images(1), images(2) * 255)
    loss(images(1), images(2))
    loss(images(1), images(2) * 255)
