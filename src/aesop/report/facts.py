"""What a report says of how its values came about: the files, the protocol, the versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape

from aesop.evaluation.results import Evaluation, ModelFile
from aesop.evaluation.tabulate import BenchmarkTable
from aesop.metrics import METRICS
from aesop.report.markup import breakable, named


def facts(evaluation: Evaluation, tables: Sequence[BenchmarkTable]) -> str:
    """The definitions of a list: files, benchmarks, versions."""
    models = "".join(
        f"<div>{named(evaluation, model)} {_file(evaluation.files.get(model))}</div>" for model in evaluation.models
    )
    told = {
        "Models": models,
        "Auto-encoder": _file(evaluation.autoencoder),
        "Benchmarks": escape("; ".join(table.title for table in tables)),
        "Compared with": breakable(evaluation.against or evaluation.models[0]),
        "Pictures": "SR and HR are clamped and rounded to 8 bit first, HR is cropped to multiples of the scale",
        "Intervals": "95 %, bootstrap of 10,000 seeded resamples of pictures; none for fewer than five",
        "Versions": escape(", ".join(f"{package} {version}" for package, version in evaluation.versions.items())),
        "Written": date.today().isoformat(),
    }
    return "\n".join(f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in told.items() if text)


def _file(file: ModelFile | None) -> str:
    return f"{breakable(file.path)} <code>sha256 {escape(file.sha256[:12])}</code>" if file else ""


def protocol(evaluation: Evaluation) -> str:
    """The items of a list: what a reader must know of every metric that has a value."""
    measured = {result.metric for result in evaluation.results if result.mean is not None}
    return "\n".join(
        f"<li><b>{escape(METRICS[metric].title)}</b>: {escape(METRICS[metric].protocol)}.</li>"
        for metric in evaluation.metrics
        if metric in measured
    )
