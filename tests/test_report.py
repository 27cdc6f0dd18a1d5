"""The report: it says what was measured, whoever won, and needs nothing but itself."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from aesop.analysis.regions import Region, detailed_regions, thumbnail
from aesop.data.bicubic import resize
from aesop.demo import charts
from aesop.demo.comparison import Comparison, Method, ShownPicture, TrainedStage
from aesop.demo.figures import Series, curves, smoothed
from aesop.demo.report import autoencoder_verdict, write_report
from aesop.demo.verdict import NOISE, Difference, best_models, differences, headline
from aesop.evaluation.evaluate import Evaluation, Failure, Result
from aesop.metrics import METRICS

BICUBIC = Method("bicubic", "bicubic", "bicubic")
FIDELITY = Method("fidelity", "fidelity network", "fidelity")
PIXEL = Method("pixel", "pixel loss", "pixel")
AESOP = Method("aesop", "AESOP", "aesop")
METHODS = (BICUBIC, FIDELITY, PIXEL, AESOP)
NAMES = ["psnr", "ssim", "lr-psnr", "ae-psnr", "lpips-proxy"]
EQUAL = {"psnr": 27.1234, "ssim": 0.7654, "lr-psnr": 41.234, "ae-psnr": 33.337, "lpips-proxy": 0.9876}


def evaluated(ours: dict[str, float] | None = None, pictures: tuple[str, ...] = ("a", "b")) -> Evaluation:
    """Every model equal but for `ours`, what AESOP's values differ by; pictures differ by 0.5 % in every value."""
    evaluation = Evaluation(["bicubic", "fidelity", "pixel", "aesop", "aesop-0.5", "pixel-0.5"], ["held out"], NAMES)
    for model in evaluation.models:
        for metric in NAMES:
            value = EQUAL[metric] + (ours or {}).get(metric, 0.0) * (model == "aesop")
            values: dict[str, float | None] = {name: value * (1 + 0.005 * i) for i, name in enumerate(pictures)}
            evaluation.results.append(Result(model, "held out", 4, metric, values))
    return evaluation


def stage(*losses: str, gain: float = 1.0) -> TrainedStage:
    log = [{"iteration": i, "kind": "loss", "seconds": float(i), **dict.fromkeys(losses, 1.0 / i)} for i in range(1, 9)]
    measured = {"psnr": 27.0, "ae_psnr": 30.25 + gain, "fidelity_psnr": 30.25, "bottleneck_psnr": 45.678}
    return TrainedStage("a stage", 8, 8.0, [*log, {"iteration": 8, "kind": "validation", "seconds": 8.0, **measured}])


def report(evaluation: Evaluation, name: str = "a") -> Comparison:
    terms = ("perceptual", "artifact", "adversarial", "discriminator")
    picture = torch.randint(0, 256, (3, 32, 40), dtype=torch.uint8)
    place = Region(4, 8, 16)
    return Comparison(
        evaluation,
        "held out",
        METHODS,
        AESOP,
        PIXEL,
        FIDELITY,
        {AESOP: [(0.0, "fidelity"), (0.5, "aesop-0.5"), (1.0, "aesop")], PIXEL: [(0.0, "fidelity"), (1.0, "pixel")]},
        stage("pixel"),
        stage("lr", "hr"),
        stage("aesop", *terms),
        stage("pixel", *terms),
        [ShownPicture(name, 32, 40, picture, [place], [{"LR": place.cut(picture), "HR": place.cut(picture)}])],
        [("pictures", f"held out: {name}")],
        [("Next", f"aesop upscale {name}")],
    )


def written(made: Comparison, folder: Path) -> str:
    write_report(made, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the charts out of pages whose text alone is looked at; they take most of the time."""
    monkeypatch.setattr(charts, "curves", lambda series, logarithmic: "<svg></svg>")
    monkeypatch.setattr(charts, "perception_distortion", lambda *paths, **labels: "<svg></svg>")


def shown_headline(page: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)
    assert found
    return re.sub(r"<[^>]*>", "", found.group(1))


class Elements(HTMLParser):
    """Checks that what is opened is closed, and gathers all attributes."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


WIN = {"psnr": 0.4, "ssim": 0.01, "lr-psnr": 2.0, "ae-psnr": 1.0, "lpips-proxy": -0.1}
LOSS = {metric: -value for metric, value in WIN.items()}


class TestVerdict:
    def test_says_that_ours_won(self):
        said = headline(differences(evaluated(WIN), "held out", "aesop", "pixel"), "AESOP", "the pixel loss")
        assert said.startswith("AESOP is better than the pixel loss in PSNR, SSIM, LR-PSNR, AE-PSNR and LPIPS-proxy")
        assert "tie" not in said

    def test_says_that_ours_lost(self):
        said = headline(differences(evaluated(LOSS), "held out", "aesop", "pixel"), "AESOP", "the pixel loss")
        assert said.startswith("AESOP did not win: the pixel loss is better in PSNR, SSIM")

    def test_says_that_nobody_won(self):
        said = headline(differences(evaluated(), "held out", "aesop", "pixel"), "AESOP", "the pixel loss")
        assert "did not win, and neither did the pixel loss" in said

    def test_says_that_it_is_mixed(self):
        mixed = evaluated({"lr-psnr": 2.0, "lpips-proxy": 0.1})
        said = headline(differences(mixed, "held out", "aesop", "pixel"), "AESOP", "the pixel loss")
        assert said.startswith("A mixed result: AESOP is better in LR-PSNR, the pixel loss in LPIPS-proxy.")
        assert said.endswith(" PSNR, SSIM and AE-PSNR are ties.")

    @pytest.mark.parametrize("metric", NAMES)
    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_difference_below_the_noise_is_a_tie(self, metric: str, sign: int):
        better = sign if METRICS[metric].higher_is_better else -sign
        for size, expected in ((0.9, "tie"), (1.1, "better" if better > 0 else "worse")):
            evaluation = evaluated({metric: sign * size * NOISE[metric]}, pictures=("only",))
            by_metric = {d.metric: d for d in differences(evaluation, "held out", "aesop", "pixel")}
            assert by_metric[metric].outcome == expected
            assert by_metric[metric].change.startswith("+" if sign > 0 else "−")

    def test_pictures_that_disagree_are_a_tie(self):
        difference = Difference("psnr", 28.0, 27.0, (2.5, -0.5))
        assert difference.outcome == "tie"
        assert difference.reason == "tie: better on 1 of 2 pictures"

    def test_only_pictures_that_both_were_measured_on_are_compared(self):
        evaluation = evaluated(WIN)
        evaluation.result("aesop", "held out", "psnr").pictures["a"] = None
        psnr = differences(evaluation, "held out", "aesop", "pixel")[0]
        assert psnr.gains == pytest.approx([0.4 * 1.005])
        assert psnr.other == pytest.approx(EQUAL["psnr"] * 1.005)

    def test_nothing_measured_is_said(self):
        assert "could not be compared" in headline([], "AESOP", "the pixel loss")

    def test_the_best_of_a_column_follows_the_metric(self):
        evaluation = evaluated(WIN)
        names = [method.model for method in METHODS]
        assert best_models(evaluation, "held out", "psnr", names) == ["aesop"]
        assert best_models(evaluation, "held out", "lpips-proxy", names) == ["aesop"]
        assert best_models(evaluated(LOSS), "held out", "lpips-proxy", names) == names[:3]

    def test_the_autoencoder_is_judged_both_ways(self):
        assert "1.00 dB nearer to HR" in autoencoder_verdict(stage("hr", gain=1.0))
        assert "nothing to speak of beyond LR (+0.10 dB" in autoencoder_verdict(stage("hr", gain=0.1))
        assert "(−2.00 dB" in autoencoder_verdict(stage("hr", gain=-2.0))


class TestPage:
    def test_refers_to_nothing_outside_itself(self, tmp_path: Path):
        page = written(report(evaluated(WIN)), tmp_path)
        assert not re.search(r"https?:|//|@import|url\((?!#)", re.sub(r"base64,[^\"]*", "", page).replace("</", ""))
        elements = Elements()
        elements.feed(page)
        assert not {"script", "link", "iframe", "object", "embed", "video", "base"} & set(elements.tags)
        for tag, name, value in elements.attributes:
            if name == "src":
                assert tag == "img"
                assert value.startswith("data:image/png;base64,")
            if name.endswith("href"):
                assert value.startswith("#")

    def test_is_well_formed(self, tmp_path: Path):
        elements = Elements()
        elements.feed(written(report(evaluated(WIN)), tmp_path))
        assert elements.open == []
        assert elements.tags.count("svg") == 9
        assert all(value for tag, name, value in elements.attributes if (tag, name) == ("img", "alt"))

    @pytest.mark.usefixtures("no_charts")
    @pytest.mark.parametrize("ours", [WIN, LOSS, {}])
    def test_holds_every_number_of_the_table_and_the_headline_of_the_numbers(
        self, ours: dict[str, float], tmp_path: Path
    ):
        evaluation = evaluated(ours)
        page = written(report(evaluation), tmp_path)
        for method in METHODS:
            for metric in NAMES:
                result = evaluation.result(method.model, "held out", metric)
                for value in (result.mean, *result.pictures.values()):
                    assert f">{value:.{METRICS[metric].digits}f}<" in page
        expected = headline(differences(evaluation, "held out", "aesop", "pixel"), "AESOP", "the pixel loss")
        assert shown_headline(page) == expected
        for value in ("31.25 dB", "30.25 dB", "45.68 dB"):
            assert value in page

    @pytest.mark.usefixtures("no_charts")
    def test_says_whether_the_perceptual_stage_did_its_work(self, tmp_path: Path):
        assert "Of the two only AESOP is perceptually better" in written(
            report(evaluated({"lpips-proxy": -0.1})), tmp_path
        )
        assert "Neither perceptual network is perceptually better" in written(
            report(evaluated({"lpips-proxy": 0.1})), tmp_path
        )

    @pytest.mark.usefixtures("no_charts")
    def test_a_point_far_from_the_paths_is_named_beneath_them(self, tmp_path: Path):
        evaluation = evaluated(WIN)
        assert "Outside" not in written(report(evaluation), tmp_path)
        for name in ("a", "b"):
            evaluation.result("bicubic", "held out", "psnr").pictures[name] = 20.0
        assert "Outside: bicubic at 20.000 dB and 0.9901" in written(report(evaluation), tmp_path)

    @pytest.mark.usefixtures("no_charts")
    def test_hostile_names_stay_text(self, tmp_path: Path):
        name = "<script>alert('x')</script> \"&$title ${x}"
        evaluation = evaluated(pictures=(name, "b"))
        evaluation.failures.append(Failure("held out", name, None, None, "<b>bad</b>"))
        page = written(report(evaluation, name), tmp_path)
        elements = Elements()
        elements.feed(page)
        assert "script" not in elements.tags
        assert "&lt;script&gt;alert" in page
        assert "&lt;b&gt;bad" in page
        alternatives = [value for tag, attribute, value in elements.attributes if (tag, attribute) == ("img", "alt")]
        assert any(value.startswith(name) for value in alternatives)

    @pytest.mark.usefixtures("no_charts")
    def test_what_is_missing_is_a_dash_and_a_reason(self, tmp_path: Path):
        evaluation = evaluated()
        for index, result in enumerate(evaluation.results):
            if result.metric == "ae-psnr":
                gone = replace(result, pictures={"a": None, "b": None}, unavailable="no such thing here")
                evaluation.results[index] = gone
        page = written(report(evaluation), tmp_path)
        assert "<td>–</td>" in page
        assert "AE-PSNR: no such thing here" in page

    @pytest.mark.usefixtures("no_charts")
    def test_a_stage_without_a_log_leaves_its_chart_out(self, tmp_path: Path):
        made = replace(report(evaluated()), autoencoder_stage=TrainedStage("a stage", 0, 0.0, []))
        assert "was not validated" in written(made, tmp_path)


class TestFigures:
    def test_a_curve_is_an_svg_of_the_page(self):
        svg = curves([Series("one", "aesop", [1, 2, 3], [1.0, 0.5, 0.001])], logarithmic=True)
        root = ElementTree.fromstring(svg.replace("xlink:", ""))
        assert root.tag == "svg"
        assert "var(--aesop)" in svg
        assert "#0102" not in svg
        assert "http" not in svg

    def test_smoothing_keeps_a_line_straight_and_a_short_curve_as_it_is(self):
        line = [3.0 + 0.5 * i for i in range(60)]
        assert smoothed(line)[3:-3] == pytest.approx(line[3:-3])
        noise = torch.randn(40).tolist()
        assert len(smoothed(noise)) == 40
        assert torch.tensor(smoothed(noise)).std() < torch.tensor(noise).std()
        assert smoothed(noise[:20]) == noise[:20]


class TestPlaces:
    def test_finds_the_detail(self):
        hr = torch.full((3, 64, 96), 128, dtype=torch.uint8)
        hr[:, 16:32, 48:64] = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
        (place,) = detailed_regions(hr, resize(hr, 0.25), 1, 16)
        assert place == Region(16, 48, 16)

    def test_squares_do_not_overlap_and_lie_inside(self):
        hr = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
        places = detailed_regions(hr, resize(hr, 0.25), 20, 24)
        taken = torch.zeros(64, 64)
        for place in places:
            assert place.cut(hr).shape == (3, 24, 24)
            taken[place.top : place.top + 24, place.left : place.left + 24] += 1
        assert 1 < len(places) <= 7
        assert taken.max() == 1

    def test_a_thumbnail_fits(self):
        assert max(thumbnail(torch.zeros(3, 200, 301, dtype=torch.uint8), 100).shape) <= 100
