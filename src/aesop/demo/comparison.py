"""What a report tells: two methods that were trained from one start, what was measured, what their stages logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from aesop.analysis.regions import Region
from aesop.evaluation.evaluate import Evaluation

#: The axes of the perception-distortion plane.
DISTORTION, PERCEPTION = "psnr", "lpips-proxy"


@dataclass(frozen=True)
class Method:
    """One row of the table: its name in the evaluation, its title, and its colour (see `figures.Series`)."""

    model: str
    title: str
    colour: str


@dataclass(frozen=True)
class TrainedStage:
    """What a stage's log tells."""

    title: str
    iterations: int
    seconds: float
    log: Sequence[Mapping[str, Any]]

    def losses(self, name: str) -> tuple[list[int], list[float]]:
        """Return iterations and values of a loss; empty if it has none of this name."""
        return self._values("loss", name)

    def validations(self, name: str) -> tuple[list[int], list[float]]:
        """Return iterations and values of a validation."""
        return self._values("validation", name)

    def _values(self, kind: str, name: str) -> tuple[list[int], list[float]]:
        lines = [line for line in self.log if line["kind"] == kind and name in line]
        return [line["iteration"] for line in lines], [line[name] for line in lines]


@dataclass(frozen=True)
class ShownPicture:
    """A held-out picture, small, and crops of it; all tensors are uint8, (3, height, width)."""

    name: str
    height: int
    width: int
    overview: Tensor
    places: Sequence[Region]
    #: For every place: the crop of each method, by its title.
    crops: Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class Comparison:
    """Everything that a report tells: `ours` and its twin `baseline`, both trained from `start`."""

    evaluation: Evaluation
    benchmark: str
    methods: Sequence[Method]
    ours: Method
    baseline: Method
    start: Method
    #: Models between `start` (0) and the method (1): its curve in the perception-distortion plane.
    interpolations: Mapping[Method, Sequence[tuple[float, str]]]
    fidelity_stage: TrainedStage
    autoencoder_stage: TrainedStage
    ours_stage: TrainedStage
    baseline_stage: TrainedStage
    pictures: Sequence[ShownPicture] = ()
    facts: Sequence[tuple[str, str]] = ()
    #: What to do next, and the command that does it.
    commands: Sequence[tuple[str, str]] = field(default=())
