"""CALGAN's discriminator: its routing and its regularisers, compared with calculations by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aesop.networks.discriminators import calgan
from aesop.networks.discriminators.calgan import CALGANDiscriminator


def test_it_judges_each_position_by_its_expert():
    """At each position, the most probable expert makes the code, and the shared classifier makes the logit of it."""
    network = CALGANDiscriminator(features=2, experts=3).double()
    images = torch.rand(2, 3, 8, 12, dtype=torch.float64)
    logits, _, routing = network(images)
    assert routing is not None
    assert logits.shape == (2, 1, 2, 3)
    assert not routing.requires_grad
    torch.testing.assert_close(routing.sum(-1), torch.ones(2, 6, dtype=torch.float64))
    assert len(routing.argmax(-1).unique()) > 1

    content = network.content(images)
    weight, bias = network.codes.weight.view(3, 8, 8), network.codes.bias.view(3, 8)
    for n in range(2):
        for y in range(2):
            for x in range(3):
                pixel = content[n, :, y, x]
                scores = torch.softmax(network.router.weight @ pixel, 0)
                torch.testing.assert_close(routing[n, 3 * y + x], scores.detach())
                expert = int(scores.argmax())
                code = F.leaky_relu(weight[expert] @ pixel + bias[expert], 0.2)
                code = F.leaky_relu(code * network.vectors[expert], 0.2)
                torch.testing.assert_close(logits[n, 0, y, x], network.classifier(code)[0])


def test_it_judges_sr_by_the_experts_of_hr():
    network = CALGANDiscriminator(features=4, experts=3)
    hr, sr = torch.rand(2, 2, 3, 16, 16).unbind()
    of_hr, alone = network(hr), network(sr)
    together = network(sr, of_hr.routing)
    assert together.regulariser is None
    assert torch.equal(together.routing, of_hr.routing)
    same = (alone.routing.argmax(-1) == of_hr.routing.argmax(-1)).view(2, 1, 4, 4)
    assert 0 < same.sum() < same.numel()
    torch.testing.assert_close(together.values[same], alone.values[same])
    assert (together.values[~same] != alone.values[~same]).all()


def test_regularisers_by_hand():
    assert calgan.orthogonality(torch.tensor([[2.0, 0.0], [0.0, 3.0]])).item() == pytest.approx(0, abs=1e-12)
    # Cosines of 45 degrees between the first and the others, 0 between those: 4 entries of 1/2 among 9.
    vectors = torch.tensor([[1.0, 1.0], [5.0, 0.0], [0.0, -2.0]])
    assert calgan.orthogonality(vectors).item() == pytest.approx(4 * 0.5 / 9)

    codes = torch.randn(2, 3, 4, 5, dtype=torch.float64) + 0.2  # pictures, positions, experts, width
    of = [codes[:, :, k].numpy() for k in range(4)]
    pairs = [(of[i], of[j]) for i in range(4) for j in range(i + 1, 4)]
    between = sum((one * other).mean() / (one.sum() * other.sum() + 1e-5) for one, other in pairs)
    within = sum(code.var(ddof=1) for code in of)
    assert calgan.separation(codes).item() == pytest.approx(between + within, rel=1e-10)
    assert abs(between) > 1e-4 * within  # so that the test would see it wrong

    # One picture, 4 positions, 2 experts: the first has 3 of them.
    routing = torch.tensor([[[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]]])
    probability = ((0.9 + 0.8 + 0.6 + 0.3) / 4, (0.1 + 0.2 + 0.4 + 0.7) / 4)
    expected = (0.75 * probability[0] + 0.25 * probability[1]) / 2 * 2**2 / 4
    assert calgan.balance(routing).item() == pytest.approx(expected)
    assert calgan.balance(torch.tensor([[[0.6, 0.4], [0.4, 0.6]] * 2])) < calgan.balance(routing)


def test_regulariser_has_the_released_weights_and_teaches_every_expert():
    network = CALGANDiscriminator(features=4, experts=3)
    images = torch.rand(2, 3, 16, 16)
    logits, regulariser, routing = network(images)
    assert routing is not None
    content = network.content(images).flatten(2).transpose(1, 2)
    codes = F.leaky_relu(F.leaky_relu(network.codes(content), 0.2).view(2, 16, 3, 16) * network.vectors, 0.2)
    expected = 10 * calgan.orthogonality(network.vectors) + 10 * calgan.separation(codes)
    torch.testing.assert_close(regulariser, expected + 0.05 * calgan.balance(routing))

    parameters = [network.router.weight, network.codes.weight, network.vectors]
    for gradient in torch.autograd.grad(logits.mean() + regulariser, parameters):
        assert (gradient.reshape(3, -1).abs().sum(1) > 0).all()
    with torch.autocast("cpu", torch.bfloat16):
        half = network(images)
    assert half.regulariser.dtype == half.routing.dtype == torch.float32
    torch.testing.assert_close(half.regulariser, regulariser, rtol=0.02, atol=0)
