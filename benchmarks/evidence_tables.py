"""Reads the JSON files that `evidence.py measure` wrote, and makes tables of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aesop.errors import AesopError
from aesop.evaluation.intervals import mean_interval
from aesop.metrics import METRICS
from markdown_tables import table

#: Columns of the main table, and the scores at which fidelity is compared.
COLUMNS = ("psnr", "ssim", "lr-psnr", "ae-psnr", "se", "ve", "lpips-proxy", "niqe", "spectrum", "grid")
SCORES = ("lpips-proxy", "niqe", "spectrum")
FIDELITY = ("psnr", "ssim")
#: The metrics that are HR's own value of a column.
HR = {"ve": "ve-hr", "grid": "grid-hr"}
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: Values by (metric, alpha): one per picture of all benchmarks, always in the same order.
Values = dict[tuple[str, float], np.ndarray]
#: Differences picture by picture, one array per seed.
Gaps = list[np.ndarray]


class Study:
    """The measured values of the start and of every method's seeds."""

    def __init__(self, folder: Path, titles: Mapping[str, str], expected: Mapping[str, Any] | None = None) -> None:
        """Read a folder of results.

        Raises AesopError if the start is missing, or the protocols of two results differ, or one differs from the
        `expected` perceptual stage.
        """
        documents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
        if "start" not in documents:
            raise AesopError(f"{folder}: holds no start.json; call `evidence.py measure` first.")
        self.titles = titles
        self.pictures = sorted(_by_picture(documents["start"], "psnr", 1.0))
        self.real_or_fake: dict[str, list[float]] = {"start": _accuracies(documents["start"])}
        self.hr = {
            of: float(np.nanmean(list(found.values())))
            for of, metric in HR.items()
            if (found := _by_picture(documents["start"], metric, 1.0))
        }
        start = self._values(documents.pop("start"), (1.0,), "start")
        self.start: Values = {(metric, 0.0): values for (metric, _), values in start.items()}
        self.seeds: dict[str, dict[str, Values]] = {}
        self.wrong: dict[str, dict[str, str]] = {}
        protocol: tuple[str, Any] | None = None
        for name, document in documents.items():
            method, _, seed = name.rpartition("-")
            if method not in titles:
                raise AesopError(f"{folder / name}.json: is no method of this study; remove it.")
            settings = _protocol(document["recipe"])
            if protocol is not None and settings != protocol[1]:
                raise AesopError(f"{folder / name}.json: was trained by another protocol than {protocol[0]}.json.")
            protocol = protocol or (name, settings)
            if wrong := _disagreement(settings["perceptual"], expected or {}):
                raise AesopError(f"{folder / name}.json: was trained with another {wrong} than the preset's.")
            if document["wrong"]:
                self.wrong.setdefault(method, {})[seed] = "; ".join(document["wrong"])
                continue
            between = self._values(document, ALPHAS[1:-1], name, (*FIDELITY, *SCORES))
            self.seeds.setdefault(method, {})[seed] = self.start | between | self._values(document, (1.0,), name)
            self.real_or_fake.setdefault(method, []).extend(_accuracies(document))
        self.methods = [method for method in titles if method in self.seeds]

    def _values(
        self, document: dict[str, Any], alphas: tuple[float, ...], name: str, metrics: tuple[str, ...] = COLUMNS
    ) -> Values:
        found: Values = {}
        for metric in metrics:
            for alpha in alphas:
                values = _by_picture(document, metric, alpha)
                if sorted(values) != self.pictures:
                    raise AesopError(f"{name}.json: {metric} was measured on other pictures than the start's PSNR.")
                found[metric, alpha] = np.array([values[key] for key in self.pictures], float)
        return found

    def gaps(self, method: str, control: str, metric: str) -> Gaps:
        """Values of every picture minus the control's, for each seed that both have."""
        return [ours[metric, 1.0] - theirs[metric, 1.0] for ours, theirs in self.pairs(method, control)]

    def pairs(self, method: str, control: str) -> list[tuple[Values, Values]]:
        """Values of a method and of a control, for each seed that both have."""
        ours, theirs = self.seeds[method], self.seeds[control]
        return [(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]

    def mean(self, method: str, metric: str, alpha: float = 1.0) -> np.ndarray:
        """Values of every picture, averaged over the seeds."""
        return np.mean([values[metric, alpha] for values in self.seeds[method].values()], axis=0)


def _accuracies(document: dict[str, Any]) -> list[float]:
    return [value for values in document["real-or-fake"].values() for value in values]


def _by_picture(document: dict[str, Any], metric: str, alpha: float) -> dict[str, float]:
    """Values of one metric by `BENCHMARK/PICTURE`; NaN where it could not be measured."""
    found = {}
    for key, pictures in document["values"].items():
        benchmark, of, model = key.rsplit(" ", 2)
        if (of, float(model)) == (metric, alpha):
            found |= {f"{benchmark}/{name}": np.nan if value is None else value for name, value in pictures.items()}
    return found


def _protocol(recipe: str) -> dict[str, Any]:
    """The settings that all methods of a study must share."""
    settings = yaml.safe_load(recipe)
    perceptual = {key: value for key, value in settings["perceptual"].items() if key != "fidelity_loss"}
    return {"perceptual": perceptual, **{key: settings[key] for key in ("generator", "data", "precision")}}


def _disagreement(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The first key of both that has two values, or nothing; results of an older version may lack keys."""
    return next((key for key in found if key in expected and found[key] != expected[key]), "")


def _number(metric: str, value: float) -> str:
    return f"{value:.{METRICS[metric].digits}f}"


def difference(metric: str, gaps: Gaps) -> str:
    """The mean over seeds and pictures with its 95 % interval over pictures; each seed's mean if their signs differ."""
    mean, interval, digits = _mean(gaps), _interval(gaps), METRICS[metric].digits
    text = f"{mean.mean():+.{digits}f}"
    if interval is None:
        return text
    strong = "**" if sign(gaps) else ""
    text = f"{strong}{text}{strong} ({interval[0]:+.{digits}f} to {interval[1]:+.{digits}f})"
    if _disagree(gaps):
        text += f"; seeds {', '.join(f'{np.nanmean(gap):+.{digits}f}' for gap in gaps)}"
    return text


def sign(gaps: Gaps) -> int:
    """The mean's sign, or 0 if its interval contains 0 or the seeds' signs differ."""
    return 0 if _disagree(gaps) else leaning(gaps)


def leaning(gaps: Gaps) -> int:
    """The mean's sign, or 0 if its interval contains 0; single seeds may disagree."""
    interval = _interval(gaps)
    return 0 if interval is None or interval[0] <= 0 <= interval[1] else int(np.sign(_mean(gaps).mean()))


def _mean(gaps: Gaps) -> np.ndarray:
    mean = np.mean(gaps, axis=0)
    return mean[np.isfinite(mean)]


def _interval(gaps: Gaps) -> tuple[float, float] | None:
    return mean_interval(list(_mean(gaps)))


def _disagree(gaps: Gaps) -> bool:
    return len({np.sign(np.nanmean(gap)) for gap in gaps}) > 1


def means(study: Study) -> str:
    """Every method's means over pictures and seeds, and the classifiers' accuracy; of HR, what it has itself."""
    heads = ["", *(f"{METRICS[name].title} {METRICS[name].arrow}".strip() for name in COLUMNS), "real or fake ↓"]
    rows = [["HR", *(_number(m, study.hr[m]) if m in study.hr else "" for m in COLUMNS), ""]]
    start = [_number(metric, float(np.nanmean(study.start[metric, 0.0]))) for metric in COLUMNS]
    rows.append(["fidelity network", *start, _told(study.real_or_fake["start"])])
    for method in study.methods:
        cells = [_number(metric, float(np.nanmean(study.mean(method, metric)))) for metric in COLUMNS]
        mark = "".join(f"; seed {seed} left out: {why}" for seed, why in study.wrong.get(method, {}).items())
        count = len(study.seeds[method])
        title = f"{study.titles[method]}, {count} seed{'s' if count > 1 else ''}"
        rows.append([title + mark, *cells, _told(study.real_or_fake[method])])
    left = [method for method in study.wrong if method not in study.seeds]
    rows += [[f"{study.titles[m]}: {'; '.join(study.wrong[m].values())}", *[""] * len(COLUMNS), ""] for m in left]
    return table(heads, rows)


def _told(accuracies: list[float]) -> str:
    return f"{np.mean(accuracies):.3f} ({min(accuracies):.2f} to {max(accuracies):.2f})" if accuracies else ""


def differences(study: Study, control: str) -> str:
    """Every method minus a control, paired by seed and picture; bold where the difference is significant."""
    heads = [f"minus {study.titles[control]}", *(METRICS[name].title for name in COLUMNS)]
    rows = []
    for method in study.methods:
        if method != control:
            cells = [difference(metric, study.gaps(method, control, metric)) for metric in COLUMNS]
            rows.append([f"{study.titles[method]}, {_seeds(study, method, control)}", *cells])
    return table(heads, rows)


def _seeds(study: Study, method: str, control: str) -> str:
    count = len(study.pairs(method, control))
    return "1 seed" if count == 1 else f"{count} seeds"


def at_equal_score(study: Study, control: str) -> str:
    """PSNR and SSIM of each method minus the control's, where both have the same mean perceptual score."""
    heads = [f"minus {study.titles[control]}", *(f"at an equal {METRICS[score].title}" for score in SCORES)]
    rows = []
    for method in study.methods:
        if method != control:
            cells = []
            for score in SCORES:
                gaps = {metric: gaps_at_equal(score, study, method, control, metric) for metric in FIDELITY}
                found = [f"{METRICS[m].title} {difference(m, gap)}" for m, gap in gaps.items() if gap]
                cells.append("<br>".join(found) or "not reached")
            rows.append([f"{study.titles[method]}, {_seeds(study, method, control)}", *cells])
    return table(heads, rows)


def at_equal_psnr(study: Study, control: str) -> str:
    """The perceptual scores of each method minus the control's, where both have the same mean PSNR."""
    heads = [f"minus {study.titles[control]}, at an equal PSNR", *(METRICS[score].title for score in SCORES)]
    rows = []
    for method in study.methods:
        if method != control:
            found = {score: gaps_at_equal("psnr", study, method, control, score) for score in SCORES}
            cells = [difference(score, gaps) if gaps else "not reached" for score, gaps in found.items()]
            rows.append([f"{study.titles[method]}, {_seeds(study, method, control)}", *cells])
    return table(heads, rows)


def gaps_at_equal(fixed: str, study: Study, method: str, control: str, metric: str) -> Gaps:
    """A metric of each picture minus the control's, at the lowest mean of `fixed` that both reach, for each seed.

    Each method reaches it at some alpha between the fidelity and its perceptual network. The lowest is the best
    perceptual score, or the PSNR at which both have most texture. Empty if for some seed one of them does not reach it.
    """
    gaps = []
    for both in study.pairs(method, control):
        wanted = max(min(_curve(values, fixed)) for values in both)
        ours, theirs = (_where(values, metric, fixed, wanted) for values in both)
        if ours is None or theirs is None:
            return []
        gaps.append(ours - theirs)
    return gaps


def _curve(values: Values, metric: str) -> list[float]:
    return [float(np.nanmean(values[metric, alpha])) for alpha in ALPHAS]


def _where(values: Values, metric: str, fixed: str, wanted: float) -> np.ndarray | None:
    """A metric of every picture at the first alpha where the mean of `fixed` is `wanted`, interpolated linearly."""
    curve = _curve(values, fixed)
    for i in range(len(ALPHAS) - 1):
        low, high = curve[i], curve[i + 1]
        if low != high and min(low, high) <= wanted <= max(low, high):
            part = (wanted - low) / (high - low)
            return (1 - part) * values[metric, ALPHAS[i]] + part * values[metric, ALPHAS[i + 1]]
    return None
