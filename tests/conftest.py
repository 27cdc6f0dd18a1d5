"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from helpers import synthetic_pictures

# Tensors are small here, and on a busy machine threads that wait for each other take minutes.
os.environ["OMP_NUM_THREADS"] = "1"  # of the commands that tests call
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of benchmark images next to the repository; skips the test if it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no benchmark images: {folder} does not exist")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AESOP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of four small pictures."""
    synthetic_pictures(tmp_path / "photos", 4, 48)
    return tmp_path / "photos"
