"""Trainings that are killed, damaged and out of disk space at random moments end as if nothing had happened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_whatever_happens_trainings_end_bit_for_bit_alike():
    script = Path(__file__).parents[1] / "benchmarks" / "durability.py"
    # In a new process that has used no threads yet: a process with threads must not fork.
    done = subprocess.run([sys.executable, script, "--kills", "5"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "bit for bit" in done.stdout
    assert int(re.findall(r"(\d+)  killed", done.stdout)[0]) >= 5
