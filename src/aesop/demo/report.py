"""The report of a comparison: one page that needs nothing but itself, and says what was measured, whoever won."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import torch
from torch import Tensor

from aesop.demo.charts import loss_charts, plane, plane_text
from aesop.demo.comparison import PERCEPTION, Comparison, Method, ShownPicture, TrainedStage
from aesop.demo.verdict import Difference, best_models, differences, headline
from aesop.evaluation.evaluate import Evaluation
from aesop.files import write_atomically
from aesop.metrics import METRICS
from aesop.training.autoencoder import LEAST_GAIN

#: What a reader must know of a metric to read its column.
_ABOUT = {
    "psnr": "nearness to HR, pixel by pixel (Y channel); blur is rewarded",
    "ssim": "nearness of local structure to HR (Y channel)",
    "lr-psnr": "downscaled again, nearness to the LR input: what a faithful network never loses",
    "ae-psnr": "nearness to HR in all that the auto-encoder keeps; AESOP is trained with this very auto-encoder",
    "lpips-proxy": (
        "perceptual distance on EfficientNet-lite0, a stand-in for LPIPS that needs no download; not comparable with "
        "published LPIPS, and both twins are trained on other layers of the same network"
    ),
}


def write_report(report: Comparison, path: Path) -> None:
    """Write the page to `path`, atomically."""
    template = Template((files("aesop.demo") / "report.html").read_text(encoding="utf-8"))
    write_atomically(path, template.substitute(_parts(report)))


def autoencoder_verdict(stage: TrainedStage) -> str:
    """Say what the auto-encoder's last validation means for the AESOP loss."""
    last = next((line for line in reversed(stage.log) if line["kind"] == "validation"), None)
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
    ).replace("(-", "(−")


def _parts(report: Comparison) -> dict[str, str]:
    compared = differences(report.evaluation, report.benchmark, report.ours.model, report.baseline.model)
    said = headline(compared, report.ours.title, f"the {report.baseline.title}")
    return {
        "title": escape(f"AESOP demo: {said}"),
        "kicker": "AESOP demo: auto-encoded supervision against its pixel-loss twin",
        # A metric's name stays on one line.
        "headline": re.sub(r"\w+-\w+", r'<span class="whole">\g<0></span>', escape(said)),
        "summary": _summary(report, compared),
        "table": _table(report, compared),
        "pictures": "\n".join(_picture(picture) for picture in report.pictures),
        "plane_text": escape(plane_text(report)),
        "plane": plane(report),
        "autoencoder": _autoencoder(report.autoencoder_stage),
        "key": "".join(f"<span>{_chip(m)}{escape(m.title)}</span>" for m in (report.ours, report.baseline)),
        "charts": "\n".join(loss_charts(report)),
        "facts": "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts),
        "commands": "\n".join(
            f"<p>{escape(what)}</p>\n<pre><code>{escape(how)}</code></pre>" for what, how in report.commands
        ),
    }


def _summary(report: Comparison, compared: Sequence[Difference]) -> str:
    ours, baseline = escape(report.ours.title), escape(report.baseline.title)
    count = max((len(d.gains) for d in compared), default=0)
    sentences = [
        f"{ours} and the {baseline} start from one fidelity network and are trained alike but for the fidelity term "
        f"of their loss. Both were measured on {count} picture{'' if count == 1 else 's'} that neither was trained on."
    ]
    if gained := _perceptual_gain(report):
        sentences.append(gained)
    sentences.append(
        "A difference counts if it exceeds what another random seed changes and has the same sign on every picture. "
        "With so few pictures and iterations this shows the method at work; it is no benchmark."
    )
    return "\n".join(f"<p>{sentence}</p>" for sentence in sentences)


def _perceptual_gain(report: Comparison) -> str:
    """Say whether the perceptual stage did what it is for."""
    metric = METRICS[PERCEPTION]
    verdicts = []
    for method in (report.ours, report.baseline):
        found = [
            difference
            for difference in differences(report.evaluation, report.benchmark, method.model, report.start.model)
            if difference.metric == PERCEPTION
        ]
        verdicts += [(method.title, difference) for difference in found]
    if not verdicts:
        return ""
    parts = [f"{escape(title)} {difference.ours:.{metric.digits}f}" for title, difference in verdicts]
    start = f"{escape(report.start.title)} {verdicts[0][1].other:.{metric.digits}f}"
    improved = [escape(title) for title, difference in verdicts if difference.outcome == "better"]
    if len(improved) == len(verdicts):
        text = "Both are perceptually better than their start"
    elif improved:
        text = f"Of the two only {improved[0]} is perceptually better than its start, beyond noise and on every picture"
    else:
        text = "Neither perceptual network is perceptually better than its start, beyond noise and on every picture"
    return f"{text} ({metric.title}, lower is better: {start}, {', '.join(parts)})."


def _table(report: Comparison, compared: Sequence[Difference]) -> str:
    evaluation, names = report.evaluation, [method.model for method in report.methods]
    head = "".join(f"<th>{escape(_title(metric))}</th>" for metric in evaluation.metrics)
    best = {metric: best_models(evaluation, report.benchmark, metric, names) for metric in evaluation.metrics}
    rows = []
    for method in report.methods:
        cells = "".join(
            f'<td class="best">{value}</td>' if method.model in best[metric] else f"<td>{value}</td>"
            for metric in evaluation.metrics
            for value in [_value(evaluation.result(method.model, report.benchmark, metric).mean, metric)]
        )
        rows.append(f"<tr><td>{_chip(method)}{escape(method.title)}</td>{cells}</tr>")
    by_metric = {difference.metric: difference for difference in compared}
    versus = "".join(
        f'<td class="{d.outcome}">{escape(d.change)}<br>{escape(d.reason)}</td>'
        if (d := by_metric.get(metric))
        else "<td></td>"
        for metric in evaluation.metrics
    )
    label = escape(f"{report.ours.title} against {report.baseline.title}")
    rows.append(f'<tr class="versus"><td>{label}</td>{versus}</tr>')
    return (
        f'<div class="wide"><table><thead><tr><th>mean</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
        f'<p class="note">Bold: the best of a column, as printed. {escape(_winners(report, best))}</p>\n'
        f"{_legend(evaluation)}\n{_notes(evaluation)}{_per_picture(report)}"
    )


def _title(metric: str) -> str:
    described = METRICS[metric]
    name = f"{described.title} ({described.unit})" if described.unit else described.title
    return f"{name} {described.arrow}"


def _value(value: float | None, metric: str) -> str:
    return "–" if value is None else f"{value:.{METRICS[metric].digits}f}"


def _winners(report: Comparison, best: Mapping[str, Sequence[str]]) -> str:
    titles = {method.model: method.title for method in report.methods}
    won: dict[str, list[str]] = {}
    for metric, models in best.items():
        if models:
            won.setdefault(" = ".join(titles[model] for model in models), []).append(METRICS[metric].title)
    return (
        "Best by " + "; by ".join(f"{', '.join(metrics)}: {who}" for who, metrics in won.items()) + "." if won else ""
    )


def _legend(evaluation: Evaluation) -> str:
    items = [
        f"<li><b>{escape(METRICS[metric].title)}</b>: {escape(_ABOUT[metric])}.</li>"
        for metric in evaluation.metrics
        if metric in _ABOUT
    ]
    return f'<ul class="note">{"".join(items)}</ul>'


def _notes(evaluation: Evaluation) -> str:
    """Name what could not be measured, and why."""
    missing = {result.metric: result.unavailable for result in evaluation.results if result.unavailable}
    notes = [f"{METRICS[metric].title}: {reason}" for metric, reason in missing.items()]
    notes += [f"{failure.picture}: {failure.reason}" for failure in evaluation.failures]
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def _per_picture(report: Comparison) -> str:
    evaluation = report.evaluation
    rows = []
    pictures = evaluation.result(report.ours.model, report.benchmark, evaluation.metrics[0]).pictures
    for picture in pictures:
        for method in report.methods:
            results = [evaluation.result(method.model, report.benchmark, metric) for metric in evaluation.metrics]
            cells = "".join(f"<td>{_value(one.pictures.get(picture), one.metric)}</td>" for one in results)
            rows.append(f"<tr><td>{escape(picture)}, {escape(method.title)}</td>{cells}</tr>")
    head = "".join(f"<th>{escape(_title(metric))}</th>" for metric in evaluation.metrics)
    return (
        f'<details><summary>Every picture by itself</summary><div class="wide"><table><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _picture(shown: ShownPicture) -> str:
    boxes = "".join(
        f'<span style="left:{100 * place.left / shown.width:.2f}%;top:{100 * place.top / shown.height:.2f}%;'
        f'width:{100 * place.side / shown.width:.2f}%;height:{100 * place.side / shown.height:.2f}%">{number}</span>'
        for number, place in enumerate(shown.places, 1)
    )
    rows = []
    for number, crops in enumerate(shown.crops, 1):
        cells = "".join(
            f"<figure>{_image(crop, f'{shown.name}, place {number}, {title}')}<figcaption>{escape(title)}</figcaption>"
            "</figure>"
            for title, crop in crops.items()
        )
        rows.append(f'<div class="crops">{cells}</div>')
    overview = _image(shown.overview, f"{shown.name} with the chosen places")
    return (
        f"<h3>{escape(shown.name)}</h3>\n"
        f'<div class="shown"><div><div class="overview">{overview}{boxes}</div></div><div>{"".join(rows)}</div></div>'
    )


def _image(pixels: Tensor, text: str) -> str:
    """Return a uint8 picture, (3, H, W), as an <img> that contains its PNG file."""
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(pixels.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()).save(written, "PNG", optimize=True)
    data = base64.b64encode(written.getvalue()).decode()
    height, width = pixels.shape[-2:]
    return f'<img width="{width}" height="{height}" alt="{escape(text)}" src="data:image/png;base64,{data}">'


def _autoencoder(stage: TrainedStage) -> str:
    last = next((line for line in reversed(stage.log) if line["kind"] == "validation"), None)
    said = f"<p>{escape(autoencoder_verdict(stage))}</p>"
    if last is None:
        return said
    rows = (
        ("AE(HR) against HR: what the auto-encoder keeps", last["ae_psnr"]),
        ("G(LR) against HR: what the fidelity network gets from LR", last["fidelity_psnr"]),
        ("E(HR) against LR: how much the bottleneck still is the LR picture", last["bottleneck_psnr"]),
    )
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{value:.2f} dB</td></tr>" for name, value in rows)
    return f'{said}\n<div class="wide"><table><tbody>{cells}</tbody></table></div>'


def _chip(method: Method) -> str:
    return f'<span class="chip" style="background:var(--{method.colour})"></span>'
