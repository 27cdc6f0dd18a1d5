"""The benchmark of training iterations: what it counts, and which of its cases may round products."""

from __future__ import annotations

import pytest
import torch

from aesop.training.plan import _costs
from tiny_systems import tiny_recipe
from train_step import Case, cases, fabric_of, rounded, rounding, time_in_turns


def test_iterations_are_timed_and_their_work_counted():
    recipe = tiny_recipe("aesop-rrdb-128")
    assert recipe.perceptual is not None
    measured = cases(recipe, {"": fabric_of("32-true")}, whole=False)
    assert set(measured) == {"perceptual, naive", "perceptual", "autoencoder", "fidelity"}
    time_in_turns(measured, 1)
    assert all(len(case.seconds) == 1 and case.seconds[0] > 0 for case in measured.values())
    # By the plan's forward passes: a pass back takes as much for the images as for the weights.
    batch, costs = recipe.perceptual.batch, dict(_costs(recipe, "perceptual"))
    parts = {title: 2 * batch * (cost.multiply_adds or 0) for title, (cost, _) in costs.items()}
    passes = {"generator": 3 + 1, "discriminator": 2 + 1 + 4, "auto-encoder, frozen": 3, "features, frozen": 3}
    ours, naive = measured["perceptual"].operations, measured["perceptual, naive"].operations
    assert ours == pytest.approx(sum(passes[title] * parts[title] for title in passes), rel=0.03)
    assert naive - ours > 2.7 * parts["discriminator"]  # five forward passes, not two


@pytest.mark.parametrize("before", [True, False])
def test_only_cases_that_may_round_use_tensor_cores(before: bool):
    cudnn, products, seen = torch.backends.cudnn, torch.backends.cuda.matmul, []
    with rounding(before):
        for allowed in (False, True):
            Case(rounded(lambda: seen.append((cudnn.allow_tf32, products.allow_tf32)), allowed), 1).step()
            assert (cudnn.allow_tf32, products.allow_tf32) == (before, before)
    assert seen == [(False, False), (True, True)]
