"""The charts of a report: the perception-distortion plane and the losses of all stages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from aesop.demo.comparison import DISTORTION, PERCEPTION, Comparison, TrainedStage
from aesop.demo.figures import Series, curves, perception_distortion
from aesop.evaluation.plane import belongs
from aesop.metrics import METRICS


def plane(report: Comparison) -> str:
    """Draw every method's path from the start to its own network, and the other methods as points, with a caption.

    A point that is so far off that it would squeeze the paths is named in the caption instead.
    """
    paths = []
    for method, models in report.interpolations.items():
        found = [(share, where) for share, model in models if (where := _place(report, model))]
        series = Series(method.title, method.colour, [x for _, (x, _) in found], [y for _, (_, y) in found])
        paths.append((series, ["" if share in (0, 1) else f"{share:g}" for share, _ in found]))
    points, beyond = [], []
    for method in report.methods:
        where = _place(report, method.model)
        if method in report.interpolations or where is None:
            continue
        if belongs(where, [place for series, _ in paths for place in zip(series.x, series.y, strict=True)]):
            points.append(Series(method.title, method.colour, [where[0]], [where[1]]))
        else:
            beyond.append(f"{method.title} at {_value(DISTORTION, where[0])} and {_value(PERCEPTION, where[1])}")
    svg = perception_distortion(
        paths,
        points,
        x_label=f"{METRICS[DISTORTION].title} ({METRICS[DISTORTION].unit}), more is better",
        y_label=f"{METRICS[PERCEPTION].title}, less is better",
    )
    caption = f"<figcaption>Outside: {escape(', '.join(beyond))}.</figcaption>" if beyond else ""
    return f'<figure class="plane">{svg}{caption}</figure>'


def _place(report: Comparison, model: str) -> tuple[float, float] | None:
    x, y = (report.evaluation.result(model, report.benchmark, metric).mean for metric in (DISTORTION, PERCEPTION))
    return None if x is None or y is None else (x, y)


def _value(metric: str, value: float) -> str:
    described = METRICS[metric]
    return f"{value:.{described.digits}f} {described.unit}".strip()


def plane_text(report: Comparison) -> str:
    """Say how to read the plane."""
    return (
        f"Weights between the {report.start.title} and each of its two perceptual networks (the numbers are the "
        "perceptual network's share) trade fidelity for perceptual quality. The nearer a curve comes to the lower "
        "right corner, the better; where one curve lies below the other, its method pays less fidelity for the same "
        "quality."
    )


def loss_charts(report: Comparison) -> list[str]:
    """Return the curves of all stages, a <figure> each; those of the twins share their axes."""
    charts = []

    def chart(title: str, text: str, series: Sequence[Series], *, logarithmic: bool = True) -> None:
        drawn = [one for one in series if len(one.x)]
        if drawn:
            svg = curves(drawn, logarithmic=logarithmic)
            charts.append(f"<figure>{svg}<figcaption><b>{escape(title)}</b> {escape(text)}</figcaption></figure>")

    chart("Fidelity stage", "L1 distance to HR", [Series("", "fidelity", *report.fidelity_stage.losses("pixel"))])
    chart(
        "Auto-encoder stage",
        "L1 distance of its output to HR and of its bottleneck to LR",
        [
            Series("output to HR", "aesop", *report.autoencoder_stage.losses("hr")),
            Series("bottleneck to LR", "fidelity", *report.autoencoder_stage.losses("lr"), dashed=True),
        ],
    )
    twins = ((report.ours, report.ours_stage), (report.baseline, report.baseline_stage))
    chart(
        "Fidelity term",
        "before its weight: what differs between the two; not comparable in height",
        [Series("", m.colour, *stage.losses(_fidelity_term(stage))) for m, stage in twins],
    )
    for name, title, text, logarithmic in (
        ("perceptual", "Perceptual term", "distance of features", False),
        ("artifact", "Artifact term", "of LDL", True),
        ("adversarial", "Adversarial term", "of the generator; high: the discriminator is not fooled", True),
        ("discriminator", "Discriminator", "its loss; low: it tells real from fake", True),
    ):
        drawn = [Series("", m.colour, *stage.losses(name)) for m, stage in twins]
        chart(title, text, drawn, logarithmic=logarithmic)
    drawn = [Series("", m.colour, *stage.validations("psnr")) for m, stage in twins]
    chart("PSNR along the perceptual stage", "on the held-out pictures, dB", drawn, logarithmic=False)
    return charts


def _fidelity_term(stage: TrainedStage) -> str:
    """Name the loss that a stage is trained with; the pixel loss is logged beside the AESOP loss too."""
    return "aesop" if stage.losses("aesop")[0] else "pixel"
