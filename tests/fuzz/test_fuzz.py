"""A short slice of ``make fuzz``: some inputs of each kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_no_input_is_silently_wrong_or_a_traceback(tmp_path):
    tests = Path(__file__).parents[1]
    path = os.pathsep.join(map(str, (tests, tests.parent / "benchmarks")))
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "--out", str(tmp_path), "--inputs", "300"],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all |" in done.stdout
