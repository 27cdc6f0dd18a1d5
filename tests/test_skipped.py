"""Iterations whose losses or gradients are not finite change nothing and are reported; too many end the training."""

from __future__ import annotations

import copy
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aesop.autoencoder import AutoEncoder
from aesop.errors import Interrupted, RunError
from aesop.run import Run
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.fidelity import FidelityStage
from aesop.training.loop import train_stage
from aesop.training.recipe import FidelityConfig
from aesop.training.stage import Stage
from aesop.training.tally import Tally
from stage_cases import SCALE, batches, config_of, networks_of, stage_of
from tiny_training import same_logs


def built(name: str) -> Stage[Any]:
    config = config_of("spsr-128" if name == "spsr" else "aesop-rrdb-128")
    networks = networks_of(config)
    if name == "fidelity":
        return FidelityStage(nn.Sequential(networks.generator, nn.BatchNorm2d(3)))
    if name == "autoencoder":
        return AutoEncoderStage(AutoEncoder(networks.generator, SCALE, features=6, growth=4, blocks=1))
    return stage_of(config, networks)


def state_of(stage: Stage[Any]) -> dict[str, Any]:
    return copy.deepcopy({name: part.state_dict() for name, part in stage.parts.items()})


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return all(map(same, first, second))
    return first == second


@pytest.mark.parametrize("spoilt", ["lr", "hr", "gradient", "last gradient"])
@pytest.mark.parametrize("name", ["fidelity", "autoencoder", "perceptual", "spsr"])
def test_a_skipped_step_changes_nothing(name: str, spoilt: str):
    stage, untouched = built(name), built(name)
    assert same(state_of(stage), state_of(untouched))
    for number, (lr, hr) in enumerate(batches()):
        if number != 1:
            untouched.step(lr, hr)
            stage.step(lr, hr)
            assert not stage.skipped
            continue
        before, hooks = state_of(stage), []
        if "gradient" in spoilt:
            parameters = [each for group in stage.optimizers[-1].param_groups for each in group["params"]]
            chosen = parameters[-1 if spoilt == "last gradient" else 0]
            hooks = [chosen.register_hook(lambda gradient: gradient / 0)]
        else:
            (lr if spoilt == "lr" else hr)[:, :, 3] = torch.inf if spoilt == "lr" else torch.nan
        losses = stage.step(lr, hr)
        for hook in hooks:
            hook.remove()
        assert stage.skipped
        assert all(map(torch.isfinite, losses.values())) == ("gradient" in spoilt)
        assert same(state_of(stage), before)
    assert same(state_of(stage), state_of(untouched))


PAIRS = [(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16))]


def trained(folder: Path, bad: set[int], stop: int = 0, iterations: int = 24) -> tuple[list[str], Stage[Any]]:
    """Train a stage on batches of which some are not finite."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"log_every": 4, "validate_every": 12, "checkpoint_every": 3}
    stage = FidelityStage(built("perceptual").network, FidelityConfig(iterations=iterations, **settings))
    said: list[str] = []
    caught: list[int] = []

    def stream(first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number, (lr, hr) in list(enumerate(batches(last), start=1))[first:]:
            if number == stop:
                caught.append(signal.SIGTERM)
            yield (lr * torch.nan if number in bad else lr), hr

    files = Run(folder).stage("fidelity")
    train_stage(stage, iterations, stream, PAIRS, files, {}, caught, said.append, lambda number: ["a", f"b{number}"])
    return said, stage


def test_a_skipped_iteration_is_told_and_counts_for_nothing(tmp_path: Path):
    said, _ = trained(tmp_path, {6, 7})
    assert said == [f"fidelity: iteration {number} was skipped: pixel was nan (a, b{number})" for number in (6, 7)]
    lines = {(line["iteration"], line["kind"]): line for line in Run(tmp_path).stage("fidelity").read_log()}
    assert lines[6, "skipped"]["why"] == "pixel was nan"
    assert 0 < lines[8, "loss"]["pixel"] < 2  # of iterations 5 and 8
    assert len([kind for _, kind in lines if kind == "loss"]) == 6


@pytest.mark.parametrize("stop", [5, 6, 7, 9])
def test_a_resumed_run_skips_alike(tmp_path: Path, stop: int):
    _, straight = trained(tmp_path / "straight", {6, 7, 20})
    with pytest.raises(Interrupted):
        trained(tmp_path / "resumed", {6, 7, 20}, stop)
    _, resumed = trained(tmp_path / "resumed", {6, 7, 20})
    assert same(state_of(straight), state_of(resumed))
    assert same_logs(Run(tmp_path / "straight"), Run(tmp_path / "resumed"))


def test_ten_in_a_row_end_the_training_and_keep_the_checkpoint_before(tmp_path: Path):
    nine = set(range(5, 14))
    said, _ = trained(tmp_path / "nine", nine)
    assert len(said) == 9
    checkpoint = Run(tmp_path / "ten").stage("fidelity").checkpoint
    told = (
        r"fidelity: pixel was nan in iteration 14, as in the 9 before it; .* lower fidelity\.learning_rate.*"
        r"\(earlier networks: .*snapshots\)\.$"
    )
    with pytest.raises(RunError, match=told):
        trained(tmp_path / "ten", {*nine, 14})
    assert torch.load(checkpoint, weights_only=True)["iteration"] == 3
    with pytest.raises(Interrupted):
        trained(tmp_path / "stopped", {*nine, 14}, stop=10)
    with pytest.raises(RunError, match=told):  # those before the stop count
        trained(tmp_path / "stopped", {*nine, 14})


def test_what_was_wrong_is_told_of_memory_that_is_used_again():
    """As CUDA graphs use theirs."""
    tally, loss = Tally(), torch.tensor(torch.nan)
    tally.add(1, {"pixel": loss}, torch.tensor(True))
    loss.fill_(0.5)
    tally.add(2, {"pixel": loss}, torch.tensor(True))
    assert list(tally.skipped(alone=False)) == [
        (1, "pixel was nan"), (2, "a gradient, or a loss of another process, was nan")
    ]  # fmt: skip
    tally.add(3, {"pixel": loss}, torch.tensor(True))
    assert list(tally.skipped()) == [(3, "a gradient was nan")]
