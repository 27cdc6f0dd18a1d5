"""The names of models in tables, and how a call may set them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from aesop.errors import AesopError
from aesop.evaluation.evaluate import evaluate
from aesop.evaluation.model_names import titled_models
from helpers import synthetic_pictures, write_model


def test_models_are_called_by_their_titles(tmp_path: Path) -> None:
    good = write_model(tmp_path / "models/good.safetensors")
    run = tmp_path / "runs/exp_0.5"
    for stage in ("fidelity", "perceptual"):
        write_model(run / f"{stage}/generator.safetensors")
    twin = good.with_suffix(".pth")
    torch.save(nn.Identity().state_dict(), twin)
    (tmp_path / "link").symlink_to(run)
    fidelity = str(run / "fidelity/generator.safetensors")
    assert titled_models([run, f"{tmp_path}/runs/../link", fidelity, f"A*={fidelity}", "bicubic"]) == {
        "exp_0.5": str(run), "fidelity": fidelity, "A*": fidelity, "bicubic": "bicubic",
    }  # fmt: skip
    two = [write_model(tmp_path / name / "net.safetensors") for name in "xy"]
    assert list(titled_models([*two, "bicubic"])) == ["x/net", "y/net", "bicubic"]
    assert list(titled_models([good, twin])) == ["good.safetensors", "good.pth"]
    with pytest.raises(AesopError, match="two models are called A; give them titles, as TITLE=MODEL"):
        titled_models([f"A={good}", f"A={run}"])
    assert list(titled_models([f" A \n B={good}"])) == ["A B"]
    assert list(titled_models([tmp_path / "bicubic.safetensors"])) == ["bicubic.safetensors"]
    for wrong in ("Better=bicubic", f"bicubic={good}"):
        with pytest.raises(AesopError, match="only bicubic interpolation is called bicubic"):
            titled_models([wrong])
    synthetic_pictures(bench := tmp_path / "bench", 2, 48)
    found = evaluate([f"Ours={good}", "bicubic"], [bench], metrics=["psnr"], against=f"Ours={good}")
    assert (found.models, found.against) == (["Ours", "bicubic"], "Ours")
    assert evaluate([f"Ours={good}", "bicubic"], [bench], metrics=["psnr"], against=good).against == "Ours"
    assert evaluate({"Ours": good, "bicubic": "bicubic"}, [bench, bench], metrics=["psnr"]).results == found.results
