"""What a training says while it runs, and at its end."""

import re

from helpers.changes import changed
from mofo.training.trainer import train


def test_lines_in_a_file_and_motion_at_the_end(settings, capsys):
    report = train(settings, progress=True)
    err = capsys.readouterr().err
    assert "\r" not in err
    lines = err.splitlines()
    assert any("cpu, fp32" in line for line in lines)
    steps = [int(number) for number in re.findall(r"^step (\d+) of 12: loss", err, re.MULTILINE)]
    assert steps == [3, 6, 9, 12]  # run.log_every
    assert sum(line.startswith("about ") for line in lines) == 1
    assert any("--optim.epochs" in line for line in lines)  # twelve steps are few
    for part in ("tokens move", "nothing moves", "hidden", "visible", "as asked"):
        assert part in report.motion


def test_fewer_clips_than_the_batch_are_a_step(settings, capsys):
    report = train(changed(settings, "optim", batch=64, epochs=2), progress=True)
    assert (report.steps, report.finished) == (2, True)
    assert "fewer clips than optim.batch 64: 8 a step" in capsys.readouterr().err


def test_twenty_checkpoints_in_a_run(settings):
    report = train(
        changed(changed(settings, "optim", epochs=20), "run", save_every=0, keep_last=99)
    )
    folders = list((report.checkpoint.parent).glob("step_*"))
    assert len(folders) == 20
