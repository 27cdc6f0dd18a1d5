"""The tables of the evidence page, from made-up results with known answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import evidence
import evidence_page
import evidence_tables as tables
from aesop.errors import AesopError
from aesop.run import Run
from evidence_claims import agreed, claims, verdict
from real_or_fake import accuracies

TITLES = {"ldl": "LDL", "aesop": "AESOP"}
PICTURES = [f"img_{number}" for number in range(6)]


def result(psnr_lost: float, score_gained: float, *, alphas: tuple[float, ...], **more: Any) -> dict[str, Any]:
    """Results that are linear in alpha: PSNR falls from 30 + k dB for picture k, the perceptual scores from 5."""
    values = {}
    for alpha in alphas:
        for metric in {*tables.COLUMNS, "psnr"}:
            start, change = (30.0, -psnr_lost) if metric == "psnr" else (5.0, -score_gained)
            found = {name: start + k * (metric == "psnr") + change * alpha for k, name in enumerate(PICTURES)}
            values[f"Set {metric} {1 if alphas == (0.0,) else alpha:g}"] = found
    recipe = "{perceptual: {iterations: 5, fidelity_loss: x}, generator: g, data: d, precision: 32}"
    return {"recipe": recipe, "values": values, "wrong": [], "real-or-fake": {"Set": [0.9, 0.7]}} | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tables.ALPHAS[1:]
    for seed in (0, 1):
        write(tmp_path, f"ldl-{seed}", result(1.0, 2.0, alphas=inner))
        write(tmp_path, f"aesop-{seed}", result(1.2, 4.0, alphas=inner))
    start = result(0, 0, alphas=(0.0,))
    start["values"]["Set ve-hr 1"] = dict.fromkeys(PICTURES, 7.0)
    write(tmp_path, "start", start)
    return tmp_path


def write(folder: Path, name: str, document: dict[str, Any]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(document))


def test_differences_and_psnr_at_an_equal_score(folder: Path) -> None:
    study = tables.Study(folder, TITLES)
    assert study.methods == ["ldl", "aesop"]
    row = tables.differences(study, "ldl").splitlines()[-1]
    assert row.startswith("| AESOP, 2 seeds | **-0.200** (-0.200 to -0.200) |")
    # AESOP has LDL's score half-way, where it has lost 0.6 dB and LDL 1.
    assert "| PSNR **+0.400** (+0.400 to +0.400)<br>SSIM" in tables.at_equal_score(study, "ldl").splitlines()[-1]
    # LDL never has AESOP's score, so both are compared at LDL's again.
    assert "| PSNR **-0.400** (-0.400 to -0.400)<br>SSIM" in tables.at_equal_score(study, "aesop").splitlines()[-1]
    means = tables.means(study).splitlines()
    assert means[2].startswith("| HR |  |  |  |  |  | 7.000 |")
    assert means[3].startswith("| fidelity network | 32.500 |")
    assert means[3].endswith("| 0.800 (0.70 to 0.90) |")
    assert means[-1].startswith("| AESOP, 2 seeds | 31.300 |")
    assert means[-1].endswith("| 0.800 (0.70 to 0.90) |")


def test_scores_at_an_equal_psnr(folder: Path) -> None:
    # LDL ends at 31.5 dB, where AESOP has gone five sixths of its way: 5 - 4 * 5 / 6 = 1.67 against 3.
    row = tables.at_equal_psnr(tables.Study(folder, TITLES), "ldl").splitlines()[-1]
    assert row.startswith("| AESOP, 2 seeds | **-1.3333** (-1.3333 to -1.3333) |")


def test_an_equal_score_is_the_best_that_both_reach_on_their_lines(folder: Path) -> None:
    """NIQE may be best half way: AESOP's is 2 there and 4 at the end, LDL's falls to 3."""
    for seed in (0, 1):
        document = result(1.2, 4.0, alphas=tables.ALPHAS[1:])
        niqe = {0.25: 3.5, 0.5: 2.0, 0.75: 3.0, 1.0: 4.0}
        document["values"] |= {f"Set niqe {alpha:g}": dict.fromkeys(PICTURES, value) for alpha, value in niqe.items()}
        write(folder, f"aesop-{seed}", document)
    study = tables.Study(folder, TITLES)
    # Both reach 3: AESOP first at alpha 1/3, having lost 0.4 dB; LDL at 1, having lost 1 dB.
    gaps = tables.gaps_at_equal("niqe", study, "aesop", "ldl", "psnr")
    assert np.allclose(gaps, 0.6)


def test_energy_beyond_the_band_of_lr() -> None:
    columns = torch.arange(256) / 256
    waves = {
        cycles: 0.5 + 0.4 * torch.cos(2 * torch.pi * cycles * columns).expand(1, 3, 256, 256) for cycles in (16, 80)
    }
    half = 0.5 + 0.2 * torch.cos(2 * torch.pi * 80 * columns).expand(1, 3, 256, 256)
    low, high = (evidence.energy_beyond(wave, 4) for wave in waves.values())
    assert low < 0.01 * high
    assert evidence.energy_beyond(half, 4) == pytest.approx(high / 4, rel=0.01)


def test_a_diverged_training_is_named_instead_of_missing(tmp_path: Path) -> None:
    run = Run(tmp_path / "aesop-1")
    run.stage("perceptual").log.parent.mkdir(parents=True)
    lines = [{"iteration": k, "kind": "skipped", "why": "perceptual is nan"} for k in range(1, 11)]
    run.stage("perceptual").log.write_text("\n".join(map(json.dumps, lines)))
    assert evidence.diverged(run) == "training diverged (perceptual is nan in iteration 10)"
    lines.append({"iteration": 11, "kind": "loss"})
    run.stage("perceptual").log.write_text("\n".join(map(json.dumps, lines)))
    assert not evidence.diverged(run)


def test_an_unknown_run_folder_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["evidence.py", "measure", "--preset", "box", "--work", "w", "--benchmark", "b", "--only", "aesop-2"]
    monkeypatch.setattr(sys, "argv", asked)
    with pytest.raises(SystemExit, match="2"):
        evidence.main()
    assert "--only aesop-2: no run folder of the study" in capsys.readouterr().err


def test_a_seed_that_went_wrong_is_left_out_and_named(folder: Path) -> None:
    bad = result(9.0, 2.0, alphas=tables.ALPHAS[1:], wrong=["the discriminator won"])
    write(folder, "aesop-1", bad)
    rows = tables.means(tables.Study(folder, TITLES)).splitlines()
    assert rows[-1].startswith("| AESOP, 1 seed; seed 1 left out: the discriminator won | 31.300 |")
    write(folder, "aesop-0", bad)
    rows = tables.means(tables.Study(folder, TITLES)).splitlines()
    assert rows[-1].startswith("| AESOP: the discriminator won; the discriminator won |")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "aesop-1",
            {"recipe": "{perceptual: {iterations: 6}, generator: g, data: d, precision: 32}"},
            "another protocol",
        ),
        ("other-1", {}, "no method of this study"),
        ("aesop-1", {"values": {"Set psnr 1": {"img_0": 1.0}}}, "other pictures"),
    ],
)
def test_results_of_another_study_are_named(folder: Path, name: str, change: dict[str, Any], message: str) -> None:
    write(folder, name, result(1.0, 1.0, alphas=tables.ALPHAS[1:]) | change)
    with pytest.raises(AesopError, match=rf"{name}\.json: .*{message}"):
        tables.Study(folder, TITLES)
    write(folder, name, result(1.0, 1.0, alphas=tables.ALPHAS[1:]))
    (folder / "start.json").unlink()
    with pytest.raises(AesopError, match=r"holds no start\.json"):
        tables.Study(folder, TITLES)


def test_classifiers_tell_noise_from_shading_and_cannot_tell_like_from_like() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = [torch.rand(3, 8, 8, generator=generator) for _ in range(8)]
    smooth = [torch.nn.functional.interpolate(p[None], (64, 64), mode="bilinear")[0] for p in smooth]
    noisy = [p + 0.1 * torch.randn(p.shape, generator=generator) for p in smooth]
    assert min(accuracies(smooth, noisy, classifiers=1, iterations=150)) > 0.9
    assert max(accuracies(smooth[:4], smooth[4:], classifiers=1, iterations=40)) < 0.8
    with pytest.raises(ValueError, match="the same number of each"):
        accuracies(smooth, noisy[:3])


def test_the_page_is_filled_and_a_second_call_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, path, images = tmp_path / "logs/box", tmp_path / "page.md", tmp_path / "images"
    logs.mkdir(parents=True)
    images.mkdir()
    kept = {"fidelity_psnr": 28.0, "bottleneck_psnr": 44.0}
    lines = [{"iteration": 250 * k, "ae_psnr": 28.0 + k, **kept} for k in range(1, 4)]
    (logs / "ae-c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (logs / "high-frequencies.json").write_text('{"start": 21.4, "ae-c": 40.0}')
    names = ("means", "claims", "against ldl", "equal ldl", "equal psnr ldl", "auto-encoders")
    path.write_text("text\n" + "\n".join(f"<!-- box: {name} -->\n<!-- end -->" for name in names) + "\nmore\n")
    for name, value in (("PAGE", path), ("FIGURES", images), ("LOGS", tmp_path / "logs")):
        monkeypatch.setattr(evidence_page, name, value)
    with pytest.raises(AesopError, match="trained with another iterations than the preset's"):
        evidence_page.write_page({"box": folder}, TITLES)
    monkeypatch.setattr(evidence_page, "PROTOCOL", tmp_path)
    (tmp_path / "study-box.yaml").write_text("{inherits: laptop, perceptual: {iterations: 5}}")
    evidence_page.write_page({"box": folder}, TITLES)
    first = path.read_text(), (images / "evidence-box.png").read_bytes()
    assert "| c | 500 | 30.00 | +2.00 | 44.0 |  |\n| c | 750 | 31.00 | +3.00 | 44.0 | 40 |" in first[0]
    assert first[0].startswith("text\n")
    assert first[0].endswith("\nmore\n")
    evidence_page.write_page({"box": folder}, TITLES)
    assert (path.read_text(), (images / "evidence-box.png").read_bytes()) == first


@pytest.mark.parametrize(
    ("signs", "leanings", "judged"),
    [
        ((1, 1, 0), (1, 1, 0), "holds"), ((1, 1, 1), (1, 1, 1), "holds"), ((1, 1, -1), (1, 1, -1), "cannot be told"),
        ((1, 1, 0), (1, 1, -1), "cannot be told"), ((1, 0, 0), (1, 1, 0), "cannot be told"),
        ((-1, -1, 0), (-1, -1, 0), "does not hold"), ((-1, -1, 0), (-1, -1, 1), "cannot be told"),
        ((0, 0, 0), (0, 0, 0), "cannot be told"),
    ],
)  # fmt: skip
def test_verdicts_need_two_scores_and_nothing_against(
    signs: tuple[int, ...], leanings: tuple[int, ...], judged: str
) -> None:
    assert verdict(signs, leanings) == judged


def test_fidelity_metrics_that_contradict_each_other_tell_nothing() -> None:
    assert [agreed(signs) for signs in ((1, 0), (1, 1), (1, -1), (0, 0), (-1, 0))] == [1, 1, 0, 0, -1]


def test_seeds_that_disagree_tell_nothing_and_are_told(folder: Path) -> None:
    write(folder, "aesop-1", result(0.5, 4.0, alphas=tables.ALPHAS[1:]))
    study = tables.Study(folder, TITLES)
    gaps = study.gaps("aesop", "ldl", "psnr")
    assert (tables.sign(gaps), tables.leaning(gaps)) == (0, 1)
    assert tables.difference("psnr", gaps) == "+0.150 (+0.150 to +0.150); seeds -0.200, +0.500"
    (folder / "aesop-1.json").unlink()  # LDL's other seed is not compared with
    assert (
        tables.differences(tables.Study(folder, TITLES), "ldl").splitlines()[-1].startswith("| AESOP, 1 seed | **-0.2")
    )


def test_claims_are_judged_from_the_results(folder: Path) -> None:
    rows = claims(tables.Study(folder, TITLES | {"low-pass": "low-pass", "pixel-1": "pixel 1"})).splitlines()
    assert rows[2].startswith("| AESOP (c) has more fidelity than 0.01 pixel")
    assert "PSNR **+0.400** (+0.400 to +0.400)" in rows[2]
    assert rows[2].endswith("| holds |")
    assert rows[3].endswith("| low-pass: not trained yet | not measured |")
    (folder / "aesop-1.json").unlink()
    rows = claims(tables.Study(folder, TITLES)).splitlines()
    assert rows[2].endswith("| holds, in one seed |")
