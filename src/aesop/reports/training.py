"""A report's section on training: how the stages went, what the auto-encoder is worth, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aesop.progress import duration
from aesop.reports.plots import chart
from aesop.training.autoencoder import LEAST_GAIN


@dataclass(frozen=True)
class StageLog:
    """What a stage's log tells."""

    title: str
    iterations: int
    seconds: float
    log: Sequence[Mapping[str, Any]]

    def values(self, name: str, kind: str = "loss") -> tuple[list[int], list[float]]:
        """Iterations and values of a loss or a `validation`; empty if the log has none of this name."""
        lines = [line for line in self.log if line["kind"] == kind and math.isfinite(line.get(name, math.nan))]
        return [line["iteration"] for line in lines], [line[name] for line in lines]

    @property
    def last_validation(self) -> Mapping[str, Any] | None:
        """The last line of validations, None without one."""
        return next((line for line in reversed(self.log) if line["kind"] == "validation"), None)

    def __str__(self) -> str:
        """How long it took."""
        return f"{self.iterations:,} iterations, {duration(self.seconds)}"


@dataclass(frozen=True)
class TrainingSection:
    """The stages of a training with several perceptual networks, by the names that these have in the evaluation.

    `facts` are names and texts, `commands` what to do next and the command that does it.
    """

    fidelity: StageLog
    autoencoder: StageLog
    perceptual: Mapping[str, StageLog]
    facts: Sequence[tuple[str, str]] = ()
    commands: Sequence[tuple[str, str]] = ()

    @property
    def stages(self) -> list[StageLog]:
        """All stages."""
        return [self.fidelity, self.autoencoder, *self.perceptual.values()]

    @property
    def verdict(self) -> str:
        """What the auto-encoder's last validation means for the AESOP loss."""
        return autoencoder_verdict(self.autoencoder)

    def charts(self, colours: Mapping[str, int]) -> list[dict[str, Any]]:
        """The curves of all stages for page.js, with a title and a text; `colours` are the perceptual networks'."""
        twins = [(colours.get(name, number), log) for number, (name, log) in enumerate(self.perceptual.items())]

        def of_twins(*names: str, kind: str = "loss") -> list[tuple[str, int, list[int], list[float]]]:
            """The first of some losses that each perceptual network has."""
            found = [(colour, [log.values(name, kind) for name in names]) for colour, log in twins]
            return [("", colour, *next((one for one in values if one[0]), values[0])) for colour, values in found]

        output, bottleneck = (self.autoencoder.values(name) for name in ("hr", "lr"))
        described = (
            ("Fidelity stage", "L1 distance to HR", True, [("", 7, *self.fidelity.values("pixel"))]),
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
            ("PSNR along the perceptual stage", "held-out pictures, dB", False, of_twins("psnr", kind="validation")),
        )
        return [
            {"title": title, "text": text, **chart(drawn, logarithmic=logarithmic)}
            for title, text, logarithmic, series in described
            if (drawn := [one for one in series if one[2]])
        ]


def autoencoder_verdict(stage: StageLog) -> str:
    """Say what the auto-encoder's last validation means for the AESOP loss."""
    last = stage.last_validation
    if last is None:
        return "The auto-encoder was not validated."
    gain = last["ae_psnr"] - last["fidelity_psnr"]
    if gain >= LEAST_GAIN:
        return (
            f"The auto-encoder is worth its name: what it keeps of HR is {gain:.2f} dB nearer to HR than the fidelity "
            "network gets from LR alone, so the AESOP loss sees more than LR does."
        )
    return (
        f"The auto-encoder has learned nothing to speak of beyond LR ({gain:+.2f} dB; {LEAST_GAIN} dB would count): "
        "here the AESOP loss is little more than LR consistency."
    ).replace("(-", "(\N{MINUS SIGN}")
