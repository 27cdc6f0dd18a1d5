"""The report in a browser: opens from disk without a request, sorts, slides, zooms, plots, prints."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aesop.evaluation.curves import MeasuredCurve
from aesop.evaluation.pictures import EvaluatedPicture
from aesop.evaluation.results import Evaluation, Result
from aesop.reports.report import report
from chromium import chromium, needs_chromium
from report_samples import HOSTILE, evaluated, training

pytestmark = needs_chromium

VALUES = {
    "psnr": ([20.0, 21.0, 22.0, 23.0, 24.0], [25.0, 26.0, 27.0, 28.0, 29.5], [25.1, 26.0, 27.2, 28.1, 29.0]),
    "niqe": ([9.0, 9.1, 9.2, 9.3, 9.4], [5.0, 5.1, 5.2, 5.3, 5.4], [6.0, 5.9, 6.2, 6.1, 6.3]),
}


def evaluation_of(columns: dict[str, int], against: str | None = None) -> Evaluation:
    """An evaluation of models with this number of values each."""
    results = [
        Result(model, "Set5", 4, metric, {f"p{i}": value for i, value in enumerate(of[column])})
        for model, column in columns.items()
        for metric, of in VALUES.items()
    ]
    return Evaluation(list(columns), ["Set5"], list(VALUES), results, against=against)


@pytest.fixture(scope="module")
def pictures() -> list[EvaluatedPicture]:
    """Pictures whose first two sides hardly differ."""
    found = [evaluated(f"p{i}", 128) for i in range(5)]
    twins = [(one.hr if one.hr is not None else one.lr).clamp(max=240) + 15 for one in found]
    return [replace(one, sr={**one.sr, "twin": twin}) for one, twin in zip(found, twins, strict=True)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, pictures: list[EvaluatedPicture]) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    curve = MeasuredCurve("twin to net", {"alpha 0": "a", "alpha 1": "b"}, evaluation=evaluation_of({"a": 1, "b": 2}))
    evaluation = evaluation_of({"bicubic": 0, "twin": 1, "net": 2}, "twin")
    report(evaluation, path, pictures, curves=[curve], training=training(facts=[("odd", HOSTILE)]))
    return path


@pytest.fixture(scope="module")
def browser(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile"), "1200,900") as driver:
        driver.get("about:blank")
        driver.get_log("performance")
        driver.get(page.as_uri())
        yield driver


def all_of(browser: Any, selector: str) -> list[Any]:
    return browser.find_elements("css selector", selector)


def one(browser: Any, selector: str) -> Any:
    return all_of(browser, selector)[0]


def select(browser: Any, selector: str, value: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(one(browser, selector)).select_by_value(value)


def actions(browser: Any) -> Any:
    from selenium.webdriver.common.action_chains import ActionChains

    return ActionChains(browser, duration=50)


def style(browser: Any, selector: str, name: str) -> str:
    return browser.execute_script("return getComputedStyle(arguments[0])[arguments[1]]", one(browser, selector), name)


def variable(browser: Any, name: str) -> float:
    text = browser.execute_script("return document.querySelector('.stage').style.getPropertyValue(arguments[0])", name)
    return float(text.removesuffix("%"))


def test_it_opens_from_disk_without_a_request_or_an_error(browser: Any, page: Path):
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in asked
    assert {url.partition(",")[0] for url in asked} == {page.as_uri(), "data:image/webp;base64"}
    assert browser.get_log("browser") == []
    assert all(browser.execute_script("return [...document.images].map(i => i.naturalWidth)"))
    assert HOSTILE in one(browser, "main").get_attribute("textContent")


def test_a_table_sorts_best_first_then_worst_then_as_it_was(browser: Any):
    def names() -> list[str]:
        return [cell.text for cell in all_of(browser, "#benchmark-0 + .wide tbody th")]

    niqe = all_of(browser, "#benchmark-0 + .wide thead button")[2]
    orders = []
    for _ in range(3):
        niqe.click()
        orders.append(names())
    assert orders == [["twin", "net", "bicubic"], ["bicubic", "net", "twin"], ["bicubic", "twin", "net"]]


def test_the_plot_shows_models_and_a_curve_of_any_two_metrics(browser: Any):
    assert one(browser, "#plot h2").text == "Perception and distortion"
    legend = [entry.get_attribute("textContent") for entry in all_of(browser, "#plot .legendtext")]
    assert legend == ["bicubic", "twin", "net", "twin to net"]
    assert len(all_of(browser, "#plot .scatterlayer .points path")) == 2 + 2, "bicubic, far from the others, is hidden"
    assert len(all_of(browser, "#plot .scatterlayer .lines path")) == 1
    actions(browser).move_to_element(all_of(browser, "#plot .scatterlayer .points path")[3]).perform()
    hovered = one(browser, "#plot .hovertext").get_attribute("textContent")
    assert "twin to net, alpha 1: netPSNR 27.080 dB" in hovered
    assert "from twin: −0.020 (−0." in hovered
    low = "return document.querySelector('.plot').layout.xaxis.range[0]"
    assert browser.execute_script(low) == pytest.approx(27.1 - 0.02 - 0.15 * 0.02)
    for number in (3, 0):
        all_of(browser, "#plot .legendtoggle")[number].click()
        browser.execute_async_script("setTimeout(arguments[0], 600)")  # Plotly waits for a double click
    assert len(all_of(browser, "#plot .scatterlayer .lines path")) == 0
    assert browser.execute_script(low) < 22, "bicubic is shown, and in sight"
    select(browser, "#plot .y", "psnr")
    assert one(browser, "#plot h2").text == "PSNR and PSNR"
    select(browser, "#plot .y", "niqe")
    assert len(all_of(browser, ".chart .scatterlayer")) == 9


def test_the_slider_moves(browser: Any):
    stage = one(browser, ".stage")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    assert [tag.text for tag in all_of(browser, ".stage .tag")[:2]] == ["twin", "net"]
    assert variable(browser, "--at") == 50
    actions(browser).move_to_element(stage).click_and_hold().move_by_offset(60, 0).release().perform()
    width = stage.size["width"]
    assert variable(browser, "--at") == pytest.approx(50 + 6000 / width, abs=1)
    left, right = (style(browser, f'.stage figure[data-role="{side}"]', "clipPath") for side in ("left", "right"))
    assert left != right


def test_it_zooms_and_pans_and_shows_all_sides_at_one_spot(browser: Any):
    stage = one(browser, ".stage")
    canvas = "return document.querySelectorAll('.crops canvas')[4].toDataURL()"
    before = browser.execute_script(canvas)
    actions(browser).move_to_element_with_offset(stage, -80, 80).perform()
    browser.execute_async_script("requestAnimationFrame(arguments[0])")
    assert browser.execute_script(canvas) != before
    assert len(all_of(browser, "article:first-child .crops figure")) == 5
    select(browser, "#picture-bar .zoom", "4")
    assert variable(browser, "--zoom") == 4
    x = variable(browser, "--x")
    actions(browser).move_to_element_with_offset(stage, -60, 60).click_and_hold().move_by_offset(
        30, 0
    ).release().perform()
    assert variable(browser, "--x") == pytest.approx(min(x + 30 / stage.size["width"], 0), abs=0.01)
    one(browser, ".stage .back").click()
    assert variable(browser, "--zoom") == 1
    actions(browser).double_click(stage).perform()
    assert variable(browser, "--zoom") == 4
    stage.send_keys("0")
    assert variable(browser, "--zoom") == 1


def test_it_flips(browser: Any):
    stage = one(browser, ".stage")
    select(browser, "#picture-bar .mode", "flip")
    left = '.stage figure[data-role="left"]'
    assert style(browser, left, "opacity") == "1"
    actions(browser).click_and_hold(stage).perform()
    assert style(browser, left, "opacity") == "0"
    actions(browser).release().perform()
    assert style(browser, left, "opacity") == "1"
    select(browser, "#picture-bar .mode", "slide")


@pytest.mark.parametrize("sides", [("twin", "HR"), ("HR", "twin")])
def test_differences_are_as_bright_as_it_says(browser: Any, pictures: list[EvaluatedPicture], sides: tuple[str, str]):
    stage = one(browser, ".stage")
    for select_side, title in zip((".left", ".right"), sides, strict=True):
        select(browser, f"#picture-bar {select_side}", title)
    select(browser, "#picture-bar .mode", "difference:8")
    shown = np.asarray(Image.open(io.BytesIO(stage.screenshot_as_png)).convert("RGB")).astype(int)
    select(browser, "#picture-bar .mode", "slide")
    picture = pictures[0]
    assert picture.hr is not None
    expected = (8 * (picture.sr["twin"].int() - picture.hr.int()).abs()).clamp(max=255).permute(1, 2, 0).numpy()
    factor = shown.shape[0] // 128
    middles = shown[factor // 2 :: factor, factor // 2 :: factor]
    # Away from the tag and the square.
    assert np.abs(middles[90:] - expected[90:]).max() <= 8


def test_sides_swap_and_pictures_are_ordered_by_their_difference(browser: Any):
    select(browser, "#picture-bar .left", "twin")
    select(browser, "#picture-bar .right", "net")
    one(browser, "#picture-bar .swap").click()
    left, right = (tag.text for tag in all_of(browser, ".stage .tag")[:2])
    assert (left, right) == ("net", "twin")
    select(browser, "#picture-choice .order", "right:psnr")
    names = [article.get_attribute("data-name") for article in all_of(browser, "article")]
    assert names == ["p4", "p1", "p0", "p3", "p2"]
    assert "PSNR +0.500 dB from left to right" in one(browser, "article .live").text


#: Text that is hard to read, with its contrast against the background by the WCAG's formula.
UNREADABLE = """
const parsed = text => (text.match(/[\\d.]+/g) || []).map(Number);
const over = ([r, g, b, a = 1], below) => [r, g, b].map((value, i) => a * value + (1 - a) * below[i]);
const behind = node => {
  if (!node) return [255, 255, 255];
  const colour = parsed(getComputedStyle(node).backgroundColor);
  return colour[3] === undefined ? colour : over(colour, behind(node.parentElement));
};
const luminance = colour => colour.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let count = 0;
while (walker.nextNode()) {
  const text = walker.currentNode.data.trim(), node = walker.currentNode.parentElement;
  if (!text || !node.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
  const style = getComputedStyle(node), ground = behind(node);
  const ink = over(parsed(node instanceof SVGElement ? style.fill : style.color), ground);
  const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
  const contrast = (high + 0.05) / (low + 0.05);
  count += 1;
  if (contrast < 4.5) found.push([contrast.toFixed(2), text.slice(0, 40), String(ink), String(ground)]);
}
return [count, found];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_is_readable_on_narrow_and_wide_dark_and_light_windows(browser: Any, page: Path, width: int, scheme: str):
    narrow = {"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": width < 400}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        browser.get(page.as_uri())
        ground = [int(value) for value in re.findall(r"\d+", style(browser, "body", "backgroundColor"))]
        assert (max(ground) < 64) == (scheme == "dark")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script("return innerWidth") == width
        browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
        count, found = browser.execute_script(UNREADABLE)
        assert count > 100
        assert found == []
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_prints(browser: Any):
    pdf = base64.b64decode(browser.print_page())
    assert pdf.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 12
    assert browser.get_log("browser") == []
