"""A report's section on training: how the stages went, what the auto-encoder is worth, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aesop.progress import duration
from aesop.reports.plots import chart
from aesop.training.autoencoder import LEAST_GAIN

#: A curve's name, the number of its colour, iterations and values.
_Series = tuple[str, int, list[int], list[float]]

#: Terms of a perceptual stage that are charted: its name in the log, a title, what to know of it, and whether it is
#: drawn on a logarithmic axis.
_TERMS = (
    ("perceptual", "Perceptual term", "distance of features", False),
    ("artifact", "Artifact term", "of LDL", True),
    ("adversarial", "Adversarial term", "of the generator; high: the discriminator is not fooled", True),
    ("discriminator", "Discriminator", "its loss; low: it tells real from fake", True),
)


@dataclass(frozen=True)
class StageLog:
    """What a stage's log tells."""

    title: str
    iterations: int
    seconds: float
    log: Sequence[Mapping[str, Any]]

    def values(self, name: str, kind: str = "loss") -> tuple[list[int], list[float]]:
        """Iterations and values of a loss or a `validation`; empty if the log has none of this name."""
        lines = [line for line in self.log if line["kind"] == kind and name in line]
        return [line["iteration"] for line in lines], [line[name] for line in lines]


@dataclass(frozen=True)
class Training:
    """The stages of a training with two perceptual networks or more, by the names that these have in the evaluation.

    `noise` has, by metric, what another seed of the perceptual stage changes: smaller differences are no gain. `facts`
    are names and texts, `commands` what to do next and the command that does it.
    """

    fidelity: StageLog
    autoencoder: StageLog
    perceptual: Mapping[str, StageLog]
    noise: Mapping[str, float] = field(default_factory=dict)
    facts: Sequence[tuple[str, str]] = ()
    commands: Sequence[tuple[str, str]] = ()

    @property
    def stages(self) -> list[tuple[str, str]]:
        """Titles of all stages, with their iterations and time."""
        stages = (self.fidelity, self.autoencoder, *self.perceptual.values())
        return [(stage.title, f"{stage.iterations:,} iterations, {duration(stage.seconds)}") for stage in stages]

    @property
    def verdict(self) -> str:
        """What the auto-encoder's last validation means for the AESOP loss."""
        return autoencoder_verdict(self.autoencoder)

    @property
    def autoencoder_values(self) -> list[tuple[str, str]]:
        """The three values that every auto-encoder is judged by; empty where it was not validated."""
        last = _last_validation(self.autoencoder)
        described = {
            "ae_psnr": "AE(HR) against HR: what the auto-encoder keeps",
            "fidelity_psnr": "G(LR) against HR: what the fidelity network gets from LR",
            "bottleneck_psnr": "E(HR) against LR: how much the bottleneck still is the LR picture",
        }
        return [(title, f"{last[name]:.2f} dB") for name, title in described.items()] if last else []

    def charts(self, colours: Mapping[str, int]) -> list[dict[str, Any]]:
        """The curves of all stages for page.js, with a title and a text; `colours` are the perceptual networks'."""
        twins = [(name, colours.get(name, number), log) for number, (name, log) in enumerate(self.perceptual.items())]
        # The pixel loss is logged beside the AESOP loss too.
        own = [("aesop" if log.values("aesop")[0] else "pixel", log) for _, _, log in twins]
        described: list[tuple[str, str, list[_Series], bool]] = [
            ("Fidelity stage", "L1 distance to HR", [("", 7, *self.fidelity.values("pixel"))], True),
            (
                "Auto-encoder stage",
                "L1 distance of its output to HR and of its bottleneck to LR",
                [
                    ("output to HR", 0, *self.autoencoder.values("hr")),
                    ("bottleneck to LR", 7, *self.autoencoder.values("lr")),
                ],
                True,
            ),
            (
                "Fidelity term",
                "before its weight: what differs between the networks; not comparable in height",
                [("", twin[1], *log.values(term)) for twin, (term, log) in zip(twins, own, strict=True)],
                True,
            ),
        ]
        for term, title, text, logarithmic in _TERMS:
            described.append((title, text, [("", colour, *log.values(term)) for _, colour, log in twins], logarithmic))
        psnr = [("", colour, *log.values("psnr", "validation")) for _, colour, log in twins]
        described.append(("PSNR along the perceptual stage", "on the held-out pictures, dB", psnr, False))
        return [
            {"title": title, "text": text, **chart(drawn, logarithmic=logarithmic)}
            for title, text, series, logarithmic in described
            if (drawn := [one for one in series if one[2]])
        ]


def autoencoder_verdict(stage: StageLog) -> str:
    """Say what the auto-encoder's last validation means for the AESOP loss."""
    last = _last_validation(stage)
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


def _last_validation(stage: StageLog) -> Mapping[str, Any] | None:
    return next((line for line in reversed(stage.log) if line["kind"] == "validation"), None)
