"""Discriminators' regularisers, and which discriminators see SR."""

from __future__ import annotations

import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aesop.networks.discriminators import Logits
from aesop.training.adversary import Adversary
from equations import slow_discriminator_loss, slow_generator_loss
from stage_cases import RATE, batches, config_of


class Regularised(nn.Module):
    """Logits, and a regulariser that depends on the pictures as well, so that a leak to the generator would show."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        # A bias cancels in relativistic logits: its gradient is rounding error, of which Adam sees the sign.
        self.conv = nn.Conv2d(3, 1, 3, stride=2, bias=False)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.always = always
        self.routings: list[Tensor | None] = []

    def regulariser(self, images: Tensor) -> Tensor:
        return 3 * (self.scale * images).square().mean() + self.conv.weight.square().sum()

    def forward(self, images: Tensor, routing: Tensor | None = None) -> Logits:
        self.routings.append(routing)
        has = self.always or routing is None
        made = None if self.always else images.detach().mean((1, 2, 3))
        return Logits(self.scale * self.conv(images), self.regulariser(images) if has else None, made)


@pytest.mark.parametrize("always", [False, True], ids=["of HR alone", "of both"])
@pytest.mark.parametrize("gan", ["relativistic", "plain", "least-squares"])
def test_a_regulariser_joins_the_discriminators_loss_and_never_the_generators(gan: str, always: bool):
    network = Regularised(always)
    reference = copy.deepcopy(network)
    config = config_of("esrgan-rrdb-128", f"perceptual.adversarial_loss.type={gan}")
    _, hr = batches()[0]
    sr = (1 - hr).requires_grad_()
    adversary = Adversary(Fabric(accelerator="cpu", devices=1), network, config.adversarial_loss, config)
    opposed = adversary.loss(sr, hr)
    opposed.backward(inputs=[sr], retain_graph=True)
    learned = adversary.backward()["discriminator"]
    adversary.optimizer.step()

    fake_image = sr.detach().clone().requires_grad_()
    real, fake = (reference.scale * reference.conv(image) for image in (hr, fake_image))
    plain = slow_generator_loss(gan, real, fake)
    (expected,) = torch.autograd.grad(plain, fake_image, retain_graph=True)
    assert opposed.item() == pytest.approx(plain.item(), rel=1e-5)
    torch.testing.assert_close(sr.grad, expected)

    terms = [slow_discriminator_loss(gan, real, fake)]
    terms += [reference.regulariser(image) for image in ((hr, sr.detach()) if always else (hr,))]
    total = torch.stack(terms).sum()
    assert learned.item() == pytest.approx(total.item(), rel=1e-5)
    assert learned.item() > 1.5 * terms[0].item()
    adam = torch.optim.Adam(reference.parameters(), lr=RATE, betas=(0.9, 0.99))
    total.backward()
    adam.step()
    for mine, other in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
    # SR is judged by the same experts as HR.
    assert network.routings[0] is None
    if always:
        assert network.routings[1] is None
    else:
        torch.testing.assert_close(network.routings[1], hr.mean((1, 2, 3)))
