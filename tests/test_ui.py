"""The page of `aesop ui`: what it does with pictures, and its queue."""

from __future__ import annotations

import socket
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from aesop.cli import main
from aesop.errors import RunError
from aesop.networks.rrdb import RRDBNet
from aesop.networks.state_dicts import write_state
from aesop.ui.serve import serve
from aesop.ui.work import PREVIEW, Work, preview
from aesop.upscaling.plan import UpscaleReport
from aesop.upscaling.upscale import upscale
from picture_files import photograph


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that is slow enough to be cancelled."""
    path = tmp_path / "tiny.safetensors"
    torch.manual_seed(0)
    write_state(path, RRDBNet(2, features=16, blocks=1, growth=4).state_dict(), {})
    return path


def work_of(tmp_path: Path, *uploads: Path, **settings: Any) -> Work:
    (tmp_path / "root").mkdir(exist_ok=True)
    return Work.of([str(path) for path in uploads], tmp_path / "root", device="cpu", **settings)


def test_results_are_those_of_the_command_and_uploads_of_one_name_are_kept_apart(tmp_path: Path, model: Path):
    first, second = photograph(tmp_path / "a/p.jpg"), photograph(tmp_path / "b/p.jpg", 32, 24)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    work = work_of(tmp_path, first, second, broken, model=model, scale=3.0)
    parts = [part for part, _ in work.run()]
    assert parts == sorted(parts)
    assert [source.name for source, _ in work.results] == ["p.jpg", "p (2).jpg"]
    for original, (_, result) in zip((first, second), work.results, strict=True):
        upscale(original, model, tmp_path / "out" / original.parent.name, scale=3.0, device="cpu")
        assert result.read_bytes() == (tmp_path / "out" / original.parent.name / "p.jpg").read_bytes()
    first_line, problem = work.told().splitlines()
    assert first_line.startswith("2 upscaled; ")
    assert problem.startswith("broken.png: ")
    assert str(tmp_path) not in work.told()
    shown = preview(*work.results[0])
    assert shown is not None
    assert shown[0].size == shown[1].size == (96, 72)


def test_no_upload_takes_the_place_of_another(tmp_path: Path, model: Path):
    uploads = [photograph(tmp_path / folder / name, 8 * size, 8) for size, (folder, name) in enumerate(
        (("a", "p (2).png"), ("b", "p.png"), ("c", "p.png"), ("d", "P.png")), start=1
    )]  # fmt: skip
    work = work_of(tmp_path, *uploads, model=model)
    assert len({path.name.lower() for path in work.inputs}) == 4
    assert [path.read_bytes() for path in work.inputs] == [path.read_bytes() for path in uploads]


def test_what_goes_wrong_is_told_whatever_it_is(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
    for error, said in (
        (RuntimeError("no memory\nat all"), "no memory at all"),
        (OSError(28, "No space left"), "space"),
    ):
        monkeypatch.setattr("aesop.ui.work.upscale", Mock(side_effect=error))
        work = work_of(tmp_path, photograph(tmp_path / "p.jpg"), model=model)
        list(work.run())
        assert said in work.told()


def test_cancelled_work_ends_soon_and_leaves_what_was_finished(tmp_path: Path, model: Path):
    small, large = photograph(tmp_path / "small.jpg"), photograph(tmp_path / "large.png", 1500, 1500)
    work = work_of(tmp_path, small, large, model=model)
    stopped = None
    for part, name in work.run():
        if part and name == "large.png" and stopped is None:
            work.stop.set()
            stopped = time.monotonic()
    assert stopped is not None
    assert time.monotonic() - stopped < 20
    assert work.told() == "Cancelled."
    assert [source.name for source, _ in work.results] == ["small.jpg"]
    assert not [path for path in (work.folder / "out").iterdir() if path.name.startswith(".")]


def test_work_that_is_cancelled_before_its_turn_touches_no_model(tmp_path: Path, model: Path):
    model.unlink()
    work = work_of(tmp_path, photograph(tmp_path / "p.jpg"), model=model)
    assert work.waits
    work.stop.set()
    assert list(work.run()) == []
    assert work.told() == "Cancelled."
    assert work.over
    assert not work.waits


def test_dropped_work_leaves_nothing_even_while_it_runs(tmp_path: Path, model: Path):
    work = work_of(tmp_path, photograph(tmp_path / "large.png", 1500, 1500), model=model)
    running = work.run()
    next(running)
    assert not work.waits
    work.drop()
    list(running)
    assert list((tmp_path / "root").iterdir()) == []


def test_mistakes_are_told(tmp_path: Path, model: Path):
    work = work_of(tmp_path, photograph(tmp_path / "p.jpg"), model=model, scale=0.25)
    list(work.run())
    assert "scale" in work.told()
    assert work.results == []


def test_a_preview_is_no_larger_than_a_screen(tmp_path: Path):
    small, large = photograph(tmp_path / "p.png", 10, 30), photograph(tmp_path / "q.png", 1000, 3000)
    shown = preview(small, large)
    assert shown is not None
    assert shown[0].size == shown[1].size == (PREVIEW, round(PREVIEW / 3))


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.delitem(sys.modules, "aesop.ui.page", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr("sys.argv", ["aesop", "ui"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "aesop-sr[ui]" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.skipif(not find_spec("gradio"), reason="needs gradio (the extra ui)")
def test_waiting_work_can_be_cancelled_and_entered_again(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    from aesop.ui.page import build

    gate, begun = threading.Event(), []

    def gated(inputs: list[Path], **settings: Any) -> UpscaleReport:
        begun.append(inputs[0].name)
        assert gate.wait(120)
        return upscale(inputs, **settings)

    monkeypatch.setattr("aesop.ui.work.upscale", gated)
    root = tmp_path / "root"
    root.mkdir()
    page = build([str(model)], str(model), str(root), "cpu")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    try:
        first, second = (Client(address, verbose=False, download_files=False) for _ in range(2))

        def enter(client: Client, name: str) -> str:
            picture = photograph(tmp_path / name)
            return client.predict([handle_file(picture)], str(model), "3", "png", 0, api_name="/enter")[0]

        assert enter(first, "first.jpg") == "Waiting for its turn."
        firsts = first.submit(api_name="/run")
        while not begun:
            time.sleep(0.05)
        assert enter(second, "second.jpg") == "Waiting for its turn."
        seconds = [second.submit(api_name="/run")]
        for client in (first, second):  # one works, one waits; another click must not disturb either
            with pytest.raises(AppError, match="are still at work: wait for them, or cancel"):
                enter(client, "other.jpg")
        assert second.predict(api_name="/cancel") == "Cancelled."
        assert enter(second, "third.jpg") == "Waiting for its turn."
        seconds.append(second.submit(api_name="/run"))
        assert begun == ["first.jpg"]
        assert not firsts.done()
        gate.set()
        assert firsts.result(60)[0].startswith("1 upscaled; ")
        # The work that was entered next takes the turn of the cancelled one.
        assert seconds[0].result(60)[0].startswith("1 upscaled; ")
        assert seconds[1].result(60)[0] == {"__type__": "update"}  # to nothing
        assert begun == ["first.jpg", "third.jpg"]
        for name in ("first", "third"):
            (result,) = root.glob(f"*/out/{name}.png")
            upscale(tmp_path / f"{name}.jpg", model, tmp_path / "out", scale=3.0, format="png", device="cpu")
            assert result.read_bytes() == (tmp_path / f"out/{name}.png").read_bytes()
        assert len(list(root.iterdir())) == 2
        assert enter(second, "fourth.jpg") == "Waiting for its turn."
        assert second.predict(api_name="/cancel") == "Cancelled."
        assert second.predict(api_name="/run")[0] == "Cancelled."
        assert begun == ["first.jpg", "third.jpg"]
    finally:
        gate.set()
        page.close()


def test_a_taken_port_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"--port {port}: cannot be served there"):
            serve(port=port)
    with pytest.raises(RunError, match=r"--host 192\.0\.2\.1: cannot be served there"):
        serve(host="192.0.2.1")
