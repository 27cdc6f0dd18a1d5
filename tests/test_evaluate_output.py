"""Outputs of an evaluation: terminal, CSV, Markdown and LaTeX, and the paper's numbers next to ours."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from aesop.cli.evaluate import evaluate as evaluate_command
from aesop.evaluation.export import to_csv, to_latex, to_markdown
from aesop.evaluation.published import published, published_rows
from aesop.evaluation.results import NO_GROUND_TRUTH, Evaluation, Failure, Note, Result
from aesop.evaluation.tabulate import notes, signed, tabulate
from aesop.evaluation.terminal import print_tables
from helpers import synthetic_pictures

BASE = [24.0, 30.0, 26.0, 28.0, 22.0]


def evaluation() -> Evaluation:
    def result(model: str, metric: str, values: list[float | None]) -> Result:
        return Result(model, "Set5", 4, metric, {f"p{index}": value for index, value in enumerate(values)})

    return Evaluation(
        ["bicubic", "my_net", "half"],
        ["Set5", "Set14", "RealSRSet"],
        ["psnr", "ssim"],
        [
            result("bicubic", "psnr", [*BASE]),
            result("my_net", "psnr", [value + 1.5 + 0.01 * value for value in BASE]),
            result("half", "psnr", [23.0, None, None, None, None]),
            result("bicubic", "ssim", [0.7] * 5),
            result("my_net", "ssim", [0.7, 0.71, 0.69, 0.72, 0.68]),
            result("half", "ssim", [None] * 5),
            *(
                Result(model, "Set14", 4, metric, {"a": 26.0 if metric == "psnr" else 0.5})
                for model in ("bicubic", "my_net", "half")
                for metric in ("psnr", "ssim")
            ),
            *(
                Result(model, "RealSRSet", 4, metric, {"a": None}, NO_GROUND_TRUTH)
                for model in ("bicubic", "my_net", "half")
                for metric in ("psnr", "ssim")
            ),
        ],
        [Failure("Set5", "p1", "half", None, "100 % broken_")],
        notes=[Note("Set5", name, "is greyscale") for name in ("p0", "p2")],
    )


def terminal(published: bool = False, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_tables(evaluation(), console, published=published)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_failures_that_say_the_same_are_one_note():
    found = evaluation()
    found.failures = [Failure("Set5", f"p{i}", "half", None, "broken") for i in range(100)]
    found.failures += [
        Failure("Set5", "p1", "half", "psnr", "too small"),
        Failure("Set14", "p1", "half", None, "broken"),
    ]
    assert notes(found)[-3:] == [
        "Set5/p0, p1, p2, p3, p4 and 95 more (half): broken",
        "Set5/p1 (half psnr): too small",
        "Set14/p1 (half): broken",
    ]
    found.results[0].unavailable = "PSNR needs packages"
    assert notes(found)[0] == "PSNR needs packages"


def test_what_rounds_to_zero_has_no_sign():
    assert [signed(n, 2) for n in (-0.004, 0.004, 0.0, -0.006, 1.0)] == ["0.00", "0.00", "0.00", "-0.01", "+1.00"]


def test_the_terminal_shows_means_intervals_and_differences():
    shown = terminal()
    rows = [re.split(r"\s*│\s*", line)[1:-1] for line in shown.splitlines() if line.startswith("│")]
    assert rows[0] == ["bicubic", "26.000", "0.7000 *"]
    low, high = map(float, rows[1][1].split(" … "))
    assert 22 <= low < 26 < high <= 30
    assert rows[2] == ["my_net", "27.760 *", "0.7000 *"]
    assert rows[4] == ["half", "23.000 (1 of 5)", "–"]  # other pictures: it competes for no star
    assert "Set5: difference from bicubic (* its 95 % interval excludes 0)" in shown
    assert rows[5] == ["my_net", "+1.760 *", "0.0000"]
    assert "Set14: difference" not in shown  # one picture has no interval
    assert "Set5/p0, p2: is greyscale" in shown
    assert "Set5/p1 (half): 100 % broken_" in shown
    assert "RealSRSet: has no HR pictures, so there is no PSNR, SSIM" in shown
    assert "paper" not in shown


def test_the_papers_numbers_stand_apart():
    shown = terminal(published=True)
    assert re.search(r"│ AESOP RRDB-256, tables 1, 8 +│ +27\.246 │ +0\.7371 │", shown)
    assert shown.index("the paper prints") > shown.index("Set14")  # it has no Set5
    # They change nothing above the line: the paper's 27.822 is the best of Set14, but not ours.
    assert re.findall(r"[\d.]+ \*", shown) == re.findall(r"[\d.]+ \*", terminal())


def test_a_table_too_wide_for_the_terminal_goes_on_below():
    lines = [line for line in terminal(width=40).splitlines() if line.startswith("│")]
    rows = [re.split(r"\s*│\s*", line)[1:-1] for line in lines]
    assert rows[0] == ["bicubic", "26.000"]
    assert rows[4] == ["half", "23.000 (1 of 5)"]
    assert rows[5] == ["bicubic", "0.7000 *"]


@pytest.mark.parametrize(
    ("table", "network", "method", "benchmark", "metric", "value"),
    [
        # Read off the paper by eye: corners of every table.
        (1, "RRDB128", "ESRGAN", "Set14", "lpips", 0.1241),
        (1, "SwinIR256", "AESOP", "LSDIR", "ssim", 0.7289),
        (2, "", "AESOP", "DRealSR", "maniqa", 0.3917),
        (4, "SwinIR", "AESOP", "LSDIR", "lr-psnr", 47.476),
        (6, "", "AESOP", "DRealSR", "clip-iqa", 0.6025),
        (7, "RRDB128", "LDL*", "Manga109", "fid", 10.161),
        (7, "SwinIR256", "AESOP", "LSDIR", "fid", 14.397),
        (8, "DRCT", "AESOP", "Urban100", "psnr", 26.360),
        (9, "RRDB", "AESOP", "LSDIR", "ae-psnr", 28.812),
    ],
)
def test_published_numbers(table: int, network: str, method: str, benchmark: str, metric: str, value: float):
    (found,) = (
        number
        for number in published()
        if (int(number.table), number.backbone + number.crop, number.method, number.benchmark, number.metric)
        == (table, network, method, benchmark, metric)
    )
    assert float(found.text) == value


def test_published_tables_are_whole():
    """The count and sum of each table's numbers, from a second reading of the paper."""
    found = {table: [Decimal(n.text) for n in published() if n.table == str(table)] for table in (1, 2, 4, 6, 7, 8, 9)}
    assert {table: (len(numbers), str(sum(numbers))) for table, numbers in found.items()} == {
        1: (244, "1736.6159"), 2: (8, "19.3320"), 4: (28, "1116.085"), 6: (40, "500.9617"), 7: (96, "3037.013"),
        8: (136, "917.6016"), 9: (56, "2124.817"),
    }  # fmt: skip
    assert len(published()) == 608


def test_tables_that_repeat_a_number_agree():
    seen: dict[tuple[str, ...], str] = {}
    for number in published():
        key = (number.backbone, number.crop, number.method, number.benchmark, number.metric)
        # The paper itself prints 0.8328 in table 1 and 0.8327 in table 8 for this one.
        if key != ("SwinIR", "256", "AESOP", "General100", "ssim"):
            assert seen.setdefault(key, number.text) == number.text
    assert published_rows("Set14", 2, ["psnr"]) == {}


def test_csv_has_a_line_for_every_value():
    lines = list(csv.DictReader(io.StringIO(to_csv(evaluation(), paper=True))))
    ours = [line for line in lines if line["source"] == "measured"]
    assert len(ours) == 18
    line = next(line for line in ours if (line["model"], line["benchmark"]) == ("my_net", "Set5"))
    assert float(line["mean"]) == pytest.approx(27.76)
    assert float(line["difference_low"]) < float(line["difference"]) < float(line["difference_high"])
    assert (line["count"], line["pictures"], line["against"], line["significant"]) == ("5", "5", "bicubic", "True")
    assert (line["difference_count"], line["reason"]) == ("5", "")
    assert NO_GROUND_TRUTH in {line["reason"] for line in ours if line["benchmark"] == "RealSRSet"}
    paper = [line for line in lines if line["source"] == "paper, table 1"]
    assert {line["benchmark"] for line in paper} == {"Set14"}
    assert {"model": "SPSR, RRDB, crop 128", "metric": "psnr", "mean": "26.860"}.items() <= paper[1].items()
    assert "paper" not in to_csv(evaluation())


def test_markdown_is_a_table_of_equal_rows():
    text = to_markdown(evaluation(), paper=True)
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for table in tables:
        rows = table.strip().splitlines()
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows if row.startswith("|")} == {4}
    assert r"| my\_net | **27.760**<br>" in tables[0]
    assert "| *paper: LDL RRDB-128, table 1* | 27.228 | 0.7358 |" in text
    assert r"- Set5/p1 (half): 100 % broken\_" in text


def test_latex_is_a_tabular_of_equal_rows(tmp_path: Path):
    text = to_latex(evaluation(), paper=True)
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in rows} == {2}
    assert r"my\_net & \textbf{27.760}$^+$ & \textbf{0.7000} \\" in rows
    assert text.count(r"\begin") == text.count(r"\end") == 1
    assert r"Paper: AESOP RRDB-256, tables 1, 8 & 27.246 & 0.7371 \\" in rows
    if shutil.which("pdflatex"):
        whole = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + text + r"\end{document}"
        (tmp_path / "t.tex").write_text(whole)
        subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def small(values: Mapping[str, Sequence[float | None]], metric: str = "psnr") -> Evaluation:
    results = [
        Result(model, "Set14", 4, metric, {f"p{index}": value for index, value in enumerate(column)})
        for model, column in values.items()
    ]
    return Evaluation(list(values), ["Set14"], [metric], results)


def test_the_best_is_marked_by_each_metrics_direction():
    for metric, best in (("psnr", "b"), ("lpips-proxy", "a")):
        (table,) = tabulate(small({"a": BASE, "b": [value + 1 for value in BASE]}, metric))
        assert [row.title for row in table.models if row.cells[metric].marked] == [best]
    assert any("ot comparable with published LPIPS" in note for note in notes(small({"a": BASE}, "lpips-proxy")))


def test_a_difference_says_of_how_many_pictures_it_is():
    found = small({"a": [*BASE, 40.0], "b": [*(value + 1 for value in BASE), None]})
    (table,) = tabulate(found)
    assert table.differences[0].cells["psnr"].text == "+1.000 (5 of 6)"
    assert "+1.000 (5 of 6)" in to_markdown(found)


def test_pictures_that_equal_hr_are_named_and_decide_nothing():
    found = small({"a": [*BASE, float("inf")], "b": [*(value + 1 for value in BASE), 50.0]})
    (table,) = tabulate(found)
    cells = [row.cells["psnr"] for row in table.models]
    assert [(cell.text, cell.marked) for cell in cells] == [("26.000 (5 of 6)", False), ("30.833", False)]
    assert table.differences[0].cells["psnr"].text.startswith("+1.000")
    assert "Set14/p5 (a psnr): equal and so infinite; left out of the mean and of differences" in notes(found)


def test_what_the_paper_measures_otherwise_is_said_where_its_numbers_stand():
    assert notes(small({"a": BASE}, "ae-psnr"), published=True) == ["AE-PSNR: the paper's is of its own auto-encoder"]
    assert notes(small({"a": BASE}, "ae-psnr")) == []
    found = small({"a": BASE}, "fid")
    found.results[0].benchmark = "mine"
    assert notes(found, published=True) == ["mine: the paper prints nothing for it"]


def test_latex_says_what_its_marks_mean_and_leaves_out_empty_columns(tmp_path: Path):
    worse = [value - 1.5 - 0.01 * value for value in BASE]
    found = small({"bicubic": BASE, "[a] <b>": worse})
    found.metrics.append("lpips")
    found.results += [Result(m, "Set14", 4, "lpips", {"p0": None}, "no weights: 100 %") for m in found.models]
    text = to_latex(found)
    assert "% superscript + or -: better or worse than bicubic" in text
    assert "% LPIPS: no weights: 100 %" in text
    assert r"{}[a] $<$b$>$ & 24.240$^-$ \\" in text
    assert r"\begin{tabular}{lr}" in text


def test_json_has_intervals_and_differences():
    document = json.loads(evaluation().to_json())
    told = (Path(__file__).parents[1] / "docs/evaluation.md").read_text(encoding="utf-8")
    for entry in (document, *document["results"], *document["failures"]):
        assert [key for key in entry if f'"{key}"' not in told] == []
    entry = document["results"][1]
    low, high = entry["interval"]
    assert low < entry["mean"] < high
    first = document["differences"][0]
    assert (first["model"], first["against"], first["metric"]) == ("my_net", "bicubic", "psnr")
    assert (first["significant"], first["count"]) == (True, 5)
    assert document["against"] == "bicubic"
    assert document["notes"][0] == {"benchmark": "Set5", "picture": "p0", "text": "is greyscale"}


def test_the_command_writes_every_format(tmp_path: Path):
    synthetic_pictures(tmp_path / "mine", 2, 32)
    app = Typer()
    app.command()(evaluate_command)
    targets = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "markdown", "latex")}
    arguments = [text for name, path in targets.items() for text in (f"--{name}", str(path))]
    arguments += ["bicubic", "--metrics", "psnr, ssim", "--published", "--sr", str(tmp_path / "sr"), "--benchmark"]

    def run(benchmark: Path, *options: str):
        return CliRunner().invoke(app, [*arguments, str(benchmark), *options])

    assert "missing: no such benchmark folder" in str(run(tmp_path / "missing").exception)
    done = run(tmp_path / "mine", "--against", "bicubic")
    assert done.exit_code == 0, done.output
    assert "mine, x4, 2 pictures" in done.stdout
    assert all(path.read_text() and str(path) in done.stdout for path in targets.values())
    assert json.loads(targets["json"].read_text())["metrics"] == ["psnr", "ssim"]
    assert sorted(path.name for path in (tmp_path / "sr/mine/bicubic").iterdir()) == ["000.png", "001.png"]
    other = run(tmp_path / "mine", "--against", "other")
    assert "--against other: is not one of the models; choose from bicubic" in str(other.exception)
    (tmp_path / "mine/broken.png").write_bytes(b"")
    done = run(tmp_path / "mine")
    assert done.exit_code == 2
    assert "broken.png" in done.stdout
    assert "(2 of 3)" in done.stdout
