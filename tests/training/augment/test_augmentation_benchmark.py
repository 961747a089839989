"""The benchmark of augmentation runs and writes what it says; its times mean nothing here."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "augmentation.py"


@pytest.mark.skipif(
    not importlib.util.find_spec("skimage"), reason="photographs: pip install mofo[test]"
)
def test_augmentation_benchmark(tmp_path):
    out, png = tmp_path / "new" / "augmentation.json", tmp_path / "new" / "sheet.png"
    command = [sys.executable, SCRIPT, "--size", "nano", "--batch", "2", "--repeat", "1"]
    done = subprocess.run(
        [*command, "--out", out, "--picture", png],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert all(value > 0 for value in found["milliseconds"].values())
    assert "augmentation" in done.stdout
    assert png.read_bytes().startswith(b"\x89PNG")
