"""`aesop ui` in headless Chromium: a picture in, its result out, two windows at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aesop.upscaling.upscale import upscale
from chromium import chromium, needs_chromium
from helpers import synthetic_pictures
from picture_files import photograph
from tiny_training import run_tiny

pytestmark = [
    pytest.mark.long,
    needs_chromium,
    pytest.mark.skipif(not find_spec("gradio"), reason="needs gradio (the extra ui)"),
]


def run_of_two_networks(folder: Path) -> Path:
    """A run with a fidelity and a perceptual network, the two ends of the dial."""
    synthetic_pictures(folder / "photos", 4, 48)
    run_tiny(folder / "photos", folder / "run", "steps=1")
    return folder / "run"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("ui")
    run = run_of_two_networks(folder)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "AESOP_CACHE": str(folder / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-m", "aesop", "ui", "--model", str(run)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile"), "1280,1000") as driver:
        yield driver


def looks(browser: Any) -> tuple[Callable[[str], Any], Callable[[str], str]]:
    """Return a function that waits for an element by its selector, and one that waits for a text in the status."""
    from selenium.webdriver.support.wait import WebDriverWait

    def find(selector: str) -> Any:
        wait = WebDriverWait(browser, 60)
        return wait.until(lambda _: next(iter(browser.find_elements("css selector", selector)), None))

    def wait_for(text: str) -> str:
        box = find("#status textarea")
        WebDriverWait(browser, 120).until(lambda _: text in box.get_attribute("value"))
        return box.get_attribute("value")

    return find, wait_for


def screenshot(browser: Any, name: str) -> None:
    """Save what a window shows, if the variable SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        time.sleep(1)
        browser.save_screenshot(f"{folder}/{name}.png")


def test_a_picture_goes_in_and_its_result_comes_out(address: str, browser: Any, tmp_path: Path):
    find, wait_for = looks(browser)
    picture = photograph(tmp_path / "holiday.jpg", 60, 80)
    browser.get(address)
    assert find("#model input").get_attribute("value").endswith("/run")
    assert find("#dial").is_displayed()
    find("#start").click()
    wait_for("Choose a picture first.")
    find("#uploads input[type=file]").send_keys(str(picture))
    find("#uploads a, #uploads .file-preview")
    find("#start").click()
    wait_for("1 upscaled; ")
    before, after = (image for image in browser.find_elements("css selector", "#slider img")[:2])
    assert before.get_attribute("src") != after.get_attribute("src")
    link = find("#results a[href]").get_attribute("href")
    with urllib.request.urlopen(link) as answer:
        result = answer.read()
    run = Path(find("#model input").get_attribute("value"))
    upscale(picture, run, tmp_path / "out", fidelity=0.0, device="cpu")
    assert result == (tmp_path / "out/holiday.jpg").read_bytes()
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert {url.split("/")[2] for url in urls if url.startswith("http")} == {address.split("/")[2]}
    for width in (1280, 500):
        browser.set_window_size(width, 1000)
        screenshot(browser, f"ui-{width}")
    browser.set_window_size(1280, 1000)
    for outside in ("/etc/passwd", str(picture), str(run / "run.json")):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{address}gradio_api/file={outside}")


def test_of_two_windows_one_works_and_the_other_waits(address: str, browser: Any, tmp_path: Path):
    find, wait_for = looks(browser)
    browser.switch_to.new_window("tab")
    windows = browser.window_handles[-1:]
    browser.switch_to.new_window("tab")
    windows.append(browser.window_handles[-1])
    Image.new("RGB", (10_000, 10_000)).save(tmp_path / "slow.jpg")
    for window, picture in zip(windows, (tmp_path / "slow.jpg", photograph(tmp_path / "soon.jpg")), strict=True):
        browser.switch_to.window(window)
        browser.get(address)
        find("#uploads input[type=file]").send_keys(str(picture))
        find("#uploads a, #uploads .file-preview")
        find("#start").click()
        wait_for("% slow.jpg" if picture.name == "slow.jpg" else "Waiting for its turn.")
    screenshot(browser, "ui-waiting")
    find("#stop").click()
    wait_for("Cancelled.")
    screenshot(browser, "ui-cancelled")
    find("#start").click()
    wait_for("Waiting for its turn.")
    browser.switch_to.window(windows[0])
    find("#start").click()
    find(".toast-body")
    screenshot(browser, "ui-at-work")
    wait_for("% slow.jpg")
    find("#stop").click()
    find("#start").click()
    browser.switch_to.window(windows[1])
    wait_for("1 upscaled; ")
    browser.switch_to.window(windows[0])
    wait_for("% slow.jpg")
    find("#stop").click()
    wait_for("Cancelled.")
    for window in windows:
        browser.switch_to.window(window)
        browser.close()
    browser.switch_to.window(browser.window_handles[0])
