"""Files are complete or absent, and an output that cannot be written is refused before work starts."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import aesop
from aesop.errors import AesopError, RunError
from aesop.files import (
    atomic_path,
    explained,
    os_errors_explained,
    remove_leftovers,
    require_writable,
    write_atomically,
)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    target, link = tmp_path / "new" / "target", tmp_path / "link"
    link.symlink_to(target)
    write_atomically(link, "first")
    with suppress(KeyError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert target.read_text() == "first"
    assert link.is_symlink()
    assert list(target.parent.iterdir()) == [target]
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


def test_names_up_to_the_systems_limit_are_written_and_longer_ones_refused(tmp_path: Path):
    for name in ("a" * 255, "é" * 127):
        require_writable(tmp_path / name)
        write_atomically(tmp_path / name, "")
    for path in (tmp_path / ("é" * 128), tmp_path / "none" / ("a" * 256) / "file", tmp_path / ("a" * 256)):
        with pytest.raises(RunError, match="the file name is too long; choose a shorter one"):
            require_writable(path)
        with pytest.raises(AesopError, match="too long"):
            write_atomically(path, "")


def test_a_folder_without_permission_is_refused(tmp_path: Path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("root may write everywhere")
    for path in (tmp_path / "file", tmp_path / "none" / "file"):
        with pytest.raises(RunError, match="permission denied"):
            require_writable(path)
        with pytest.raises(RunError, match="permission denied"):
            write_atomically(path, "")


def test_what_is_no_file_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path, "is a folder; a file is expected here"),
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path / "file" / "below", "not a folder"),
    ):
        with pytest.raises(RunError, match=reason):
            require_writable(path)
    require_writable(tmp_path / "file")
    require_writable(tmp_path / "none" / "at" / "all")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "pipe"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.EMFILE])
def test_an_error_of_the_system_is_one_sentence_that_names_the_file(number: int):
    error = OSError(number, os.strerror(number), "a/b.png")
    assert explained(error).startswith("a/b.png: ")
    assert explained(error).count("\n") == 0
    with pytest.raises(AesopError, match=r"^a/b\.png: .*\.$"), os_errors_explained():
        raise error


def test_names_that_are_not_utf8_are_told():
    assert explained(OSError(errno.EACCES, "", os.fsdecode(b"a\xe9"))).startswith("a\\xe9: permission denied")


def test_a_library_user_meets_an_aesop_error_where_the_system_refuses(photos: Path, tmp_path: Path):
    """`/proc/self/mem` cannot be read by anybody: an unreadable file even for root."""
    model = tmp_path / "model.safetensors"
    model.symlink_to("/proc/self/mem")
    if not model.exists():
        pytest.skip("no /proc on this system")
    for call in (
        lambda: aesop.load_generator(model),
        lambda: aesop.AutoEncoder.load(model),
        lambda: aesop.evaluate([model], [photos]),
        lambda: aesop.upscale([photos], model, tmp_path / "output"),
        lambda: aesop.interpolate_files(model, model, 0.5, tmp_path / "half.safetensors"),
        lambda: aesop.load_recipe(str(model.rename(tmp_path / "recipe.yaml"))),
    ):
        with pytest.raises(AesopError, match=r"(model\.safetensors|recipe\.yaml|mem)\b"):
            call()


def test_leftovers_of_killed_processes_are_removed_and_no_others(tmp_path: Path):
    (tmp_path / ".name.part").touch()  # not ours
    script = (
        "import pathlib, sys, time\nfrom aesop.files import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])):\n    print(flush=True)\n    time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "target"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (leftover,) = set(tmp_path.iterdir()) - {tmp_path / ".name.part"}
        remove_leftovers(tmp_path)
        spared = leftover.exists()
        process.send_signal(signal.SIGKILL)
    assert spared
    with atomic_path(tmp_path / "mine") as temporary:
        remove_leftovers(tmp_path)
        assert temporary.exists()
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".name.part", tmp_path / "mine"]
    remove_leftovers(tmp_path / "missing")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_the_workers_of_a_killed_process_do_not_spare_its_leftovers(tmp_path: Path):
    script = (
        "import os, pathlib, sys, time\nfrom aesop.files import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])):\n    if worker := os.fork():\n"
        "        print(worker, flush=True)\n        os._exit(0)\n    time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "target"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.wait()
        try:
            deadline = time.monotonic() + 10  # the worker may not have begun yet
            while list(tmp_path.iterdir()) and time.monotonic() < deadline:
                remove_leftovers(tmp_path)
            assert not list(tmp_path.iterdir())
        finally:
            os.kill(worker, signal.SIGKILL)
