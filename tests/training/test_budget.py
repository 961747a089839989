"""What a training will need: numbers that fit the model, and mistakes."""

import json

import pytest

from mofo.cli import main
from mofo.training.budget import GPUS, plan
from mofo.training.finetune_task import FinetuneTask
from mofo.training.pretrain_task import PretrainTask
from mofo.types import SettingsError


@pytest.mark.parametrize(("fixture", "kind"), [("settings", PretrainTask), ("tuned", FinetuneTask)])
def test_numbers_of_this_machine(fixture, kind, request):
    settings = request.getfixturevalue(fixture)
    report = plan(settings)
    parameters = sum(p.numel() for p in kind(settings).build().parameters())
    assert report.parameters == parameters
    assert (report.steps, report.batch) == (12, 4)
    assert report.micro_batch == 4
    # Weights, gradients and two moments, four bytes each.
    assert 0.9 < report.fixed_memory / (16 * parameters) < 1.6
    assert report.clip_memory > 4 * 48 * 48 * 3  # at least the clip's pixels
    assert report.memory > report.fixed_memory + 4 * report.clip_memory
    assert report.step_seconds > 0
    assert report.hours == pytest.approx(report.steps * report.step_seconds / 3600)
    assert not report.worked_out
    larger = settings.change(data={"size": 2 * settings.data.size, "frames": 8})
    assert plan(larger).clip_memory > 4 * report.clip_memory


@pytest.mark.slow
def test_gpus_divide_the_time(settings):
    many = settings.change(optim={"batch": 8}, data={"clips_per_video": 1})
    one, two = plan(many, "1xH200"), plan(many, "2xH200")
    assert one.worked_out
    assert one.step_seconds == pytest.approx(2 * two.step_seconds)
    assert (one.micro_batch, two.micro_batch) == (8, 4)
    assert one.memory < 0.9 * GPUS["H200"].memory * 1e9


@pytest.mark.parametrize("gpus", ["H200", "0xH200", "1xH20", "x"])
def test_wrong_gpus(settings, gpus):
    with pytest.raises(SettingsError):
        plan(settings, gpus)


def test_command(videos, tmp_path, capsys):
    file = tmp_path / "plan.json"
    words = ["--data.source", str(videos), "--model.size", "nano", "--optim.batch", "4"]
    assert main(["plan", "tiny", *words, "--json", str(file)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(json.loads(file.read_text())) // 3
    assert main(["plan", "tiny-finetune", "--data.source", str(videos)]) == 1  # no labels
    assert main(["plan", "tiny", "--data.source", str(tmp_path / "none")]) == 1
    told = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("mofo plan: ") for line in told) == 2
