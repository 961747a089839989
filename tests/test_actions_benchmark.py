"""The benchmark of the motion-actions set runs and writes what it says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mofo.synth.actions.dataset_writer import ActionSetSettings, write_action_set

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "actions.py"


@pytest.mark.slow
def test_actions_benchmark(tmp_path):
    settings = ActionSetSettings(level="easy", clips=48, size=32, frames=8)
    write_action_set(tmp_path / "easy", settings, workers=0)
    out, picture = tmp_path / "actions.json", tmp_path / "sheet.png"
    command = [sys.executable, SCRIPT, tmp_path / "easy", "--clips", "8", "--out", out]
    command += ["--picture", picture, "--level", "easy"]
    command += ["--pair", "left", "right", "--pair-clips", "24"]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert picture.stat().st_size > 10_000
    found = json.loads(out.read_text())
    assert set(found["clips_per_s"]) == {"easy", "medium", "hard"}
    one, pair = found["controls"]
    assert [line["sees"] for line in pair["table"]] == [
        "shuffled frames, as drawn", "shuffled frames, from files",
    ]  # fmt: skip
    assert one["set"]["level"] == "easy"
    seen = {line["sees"] for line in one["table"]}
    assert seen == {"first frame", "middle frame", "last frame", "shuffled frames",
                    "frames in order", "union box"}  # fmt: skip
    for line in one["table"]:
        mean, low, high = line["accuracy"]
        assert low <= mean <= high
