"""A report's section on training: how the stages went, what the auto-encoder is worth, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aesop.reports.plots import chart

#: A stage's log, as `aesop.run.StageFolder.read_log` returns it.
Log = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class TrainingSection:
    """The logs of a training with several perceptual networks, by the names that these have in the evaluation.

    Stages that were not trained have empty logs; `kept` is then what a validation of the auto-encoder measures. `facts`
    are names and texts, `commands` what to do next and the command that does it.
    """

    fidelity: Log
    autoencoder: Log
    perceptual: Mapping[str, Log]
    facts: Sequence[tuple[str, str]] = ()
    commands: Sequence[tuple[str, str]] = ()
    kept: Mapping[str, float] | None = None

    @property
    def measured(self) -> Mapping[str, Any]:
        """The last validation of the auto-encoder, and `verdict`: what it means for the AESOP loss."""
        from aesop.training.autoencoder import verdict  # an evaluation's report needs nothing of the extra `train`

        last = self.kept or [line for line in self.autoencoder if line["kind"] == "validation"][-1]
        return {**last, "verdict": verdict(last)}

    def charts(self, colours: Mapping[str, int]) -> list[dict[str, Any]]:
        """The curves of all stages for page.js, with a title and a text; `colours` are the perceptual networks'."""

        def of_twins(*names: str, kind: str = "loss") -> list[tuple[str, int, list[int], list[float]]]:
            """The first of some losses that each perceptual network has."""
            found = [(name, [_values(log, loss, kind) for loss in names]) for name, log in self.perceptual.items()]
            return [("", colours[name], *next((one for one in values if one[0]), values[0])) for name, values in found]

        output, bottleneck = (_values(self.autoencoder, name) for name in ("hr", "lr"))
        described = (
            ("Fidelity stage", "L1 distance to HR", True, [("", 7, *_values(self.fidelity, "pixel"))]),
            (
                "Auto-encoder stage",
                "L1 distance of its output to HR and of its bottleneck to LR",
                True,
                [("output to HR", 0, *output), ("bottleneck to LR", 7, *bottleneck)],
            ),
            # The pixel loss is logged beside the AESOP loss too.
            ("Fidelity term", "before its weight; not comparable in height", True, of_twins("aesop", "pixel")),
            ("Perceptual term", "distance of features", False, of_twins("perceptual")),
            ("Artifact term", "of LDL", True, of_twins("artifact")),
            ("Adversarial term", "high: the discriminator is not fooled", True, of_twins("adversarial")),
            ("Discriminator", "its loss; low: it tells real from fake", True, of_twins("discriminator")),
        )
        validated = (
            ("PSNR", "dB", max, of_twins("psnr", kind="validation")),
            ("LR-PSNR", "dB", max, of_twins("lr_psnr", kind="validation")),
            ("AE-PSNR", "dB", max, of_twins("ae_psnr", kind="validation")),
            ("NIQE", "less is better", min, of_twins("niqe", kind="validation")),
        )
        rows: list[tuple[Any, ...]] = [(*row, None) for row in described]
        for title, unit, best, series in validated:
            text = f"held-out pictures, {unit}; a star marks the best"
            rows.append((f"{title} along the perceptual stage", text, False, series, best))
        return [
            {"title": title, "text": text, **chart(drawn, logarithmic=logarithmic, best=best)}
            for title, text, logarithmic, series, best in rows
            if (drawn := [one for one in series if one[2]])
        ]


def _values(log: Log, name: str, kind: str = "loss") -> tuple[list[int], list[float]]:
    """Iterations and values of a loss or a `validation`; empty if the log has none of this name."""
    lines = [line for line in log if line["kind"] == kind and math.isfinite(line.get(name, math.nan))]
    return [line["iteration"] for line in lines], [line[name] for line in lines]
