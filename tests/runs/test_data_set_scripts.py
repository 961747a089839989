"""The scripts of the data sets say what the commands understand; nothing is trained here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings

RUNS = Path(__file__).parents[2] / "runs"
SCRIPTS = sorted(RUNS.glob("*.sh"))
sys.path[:0] = [str(RUNS)]

import cost  # noqa: E402

from mofo.commands.verb import VERBS  # noqa: E402

STUB = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(int(sys.argv[1] == "data" and os.environ["FAILS"]))
"""


def calls_of(script, tmp_path, fails="0"):
    """What a script calls, with a program in place of mofo that only writes it down."""
    stub = tmp_path / "bin" / "mofo"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
    calls = tmp_path / "calls"
    done = subprocess.run(
        ["bash", str(script), "data", str(tmp_path / "out put")],
        env={**os.environ, "PATH": path, "CALLS": str(calls), "FAILS": fails},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in calls.read_text().splitlines()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_command_is_understood(script, tmp_path):
    code, calls = calls_of(script, tmp_path)
    assert code == 0
    parsed = []
    for words in calls:
        length = 1 if words[0] in VERBS else 2
        name = " ".join(words[:length])
        parsed.append((name, VERBS[name].parse(words[length:])))
    verbs = [verb for verb, _ in parsed]
    assert verbs[:6] == [
        "data convert", "data check", "detect", "pretrain", "finetune", "evaluate",
    ]  # fmt: skip
    for verb, values in parsed:
        if verb in ("pretrain", "finetune"):
            kind = PretrainSettings if verb == "pretrain" else FinetuneSettings
            settings = kind.from_yaml(values["config"], values["pairs"])
            assert settings.data.source == (
                str(tmp_path / "out put" / f"{script.stem}.parquet"),
                f"exclude:{tmp_path / 'out put' / 'check' / 'quarantine.csv'}",
            )
            assert settings.data.areas == str(tmp_path / "out put" / "areas")
        if verb == "finetune":
            assert values["encoder"] == str(tmp_path / "out put" / "pretrained")
        if verb == "evaluate":
            # Sets without a validation set are tested on what their authors test on.
            no_validation = script.stem in ("ucf101", "hmdb51", "diving48")
            is_test = values.get("split") == "test"
            assert is_test == (no_validation or bool(values.get("submission")))


def test_a_script_ends_where_there_is_no_catalog(tmp_path):
    code, calls = calls_of(RUNS / "ssv2.sh", tmp_path, fails="1")
    assert code != 0
    assert [words[:2] for words in calls] == [["data", "convert"]]


def test_every_data_set_has_a_script_recipes_and_a_row():
    names = [path.stem for path in SCRIPTS]
    assert sorted(one.name for one in cost.SETS) == names
    page = (RUNS.parent / "docs" / "reproduce.md").read_text()
    assert cost.table() in page


def test_cost_by_hand():
    """ViT-B on 16 x 224 x 224: 180.5 G multiplications forward, as VideoMAE's authors count."""
    settings = PretrainSettings.from_yaml("ssv2", data={"source": "v"}, run={"out": "o"})
    model = settings.model_settings()
    assert cost.forward(model, 1568) / 2 == pytest.approx(180.5e9, rel=0.01)
    assert cost.hours(0.4 * 989e12 * 3600) == 1
    for slow, fast in zip(cost.rows(100), cost.rows(200), strict=True):
        for key in ("pretrain", "finetune", "test"):
            assert slow[key] == pytest.approx(2 * fast[key])
        assert slow["areas"] == fast["areas"]
