"""A training that is killed, divided or stopped is the same as one that is not; for each task."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from helpers.changes import changed
from helpers.ranks import ranks
from helpers.trainings import (
    TWO,
    assert_alike,
    assert_same_run,
    finish,
    kill,
    launch,
    lines_of,
    newest,
    wait_for_step,
)
from mofo.system.files import folder_lock
from mofo.training.callbacks import Callback
from mofo.training.trainer import train
from mofo.types import MofoError, SettingsError


@pytest.fixture(params=[pytest.param("pretrain", marks=pytest.mark.slow), "finetune"])
def chosen(request):
    """Settings of twelve steps with everything that is random; an average, a balanced order."""
    if request.param == "pretrain":
        return request.getfixturevalue("settings")
    tuned = request.getfixturevalue("tuned")
    return tuned.change(optim={"ema_decay": 0.8}, data={"balance": 0.5})


@pytest.fixture(params=["pretrain", pytest.param("finetune", marks=pytest.mark.slow)])
def divisible(request):
    """The same without what depends on which clips are in one pass: mixing and drop path."""
    if request.param == "pretrain":
        return request.getfixturevalue("settings")
    return changed(request.getfixturevalue("plain_tuned"), "optim", ema_decay=0.8)


@pytest.mark.slow
def test_killed_at_random_and_still_the_same_bit_for_bit(chosen, tmp_path):
    steady = chosen.change(
        run={"out": str(tmp_path / "steady"), "workers": 2, "save_every": 2},
        optim={"epochs": chosen.optim.epochs * 2},
    )
    train(steady)
    broken = changed(steady, "run", out=str(tmp_path / "broken"))
    rng = random.Random(5)
    killed_at = [0]
    for _ in range(2):
        # Some steps further than the last time, and then a random moment: in a step, in a write.
        process = launch(broken, tmp_path)
        wait_for_step(broken, process, killed_at[-1] + rng.randint(2, 5))
        time.sleep(rng.uniform(0, 0.2))
        kill(process)
        killed_at.append(newest(broken))
    assert killed_at[-1] < 24
    code, _, err = finish(launch(broken, tmp_path))
    assert code == 0, err
    assert len(lines_of(broken, "loss")) == 24
    assert_same_run(steady, broken)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_continue(settings, tmp_path, number):
    """SIGUSR1, and several processes: ``test_many_processes.py``."""
    long = changed(changed(settings, "optim", epochs=400), "run", workers=1)
    process = launch(long, tmp_path)
    wait_for_step(long, process, 4)
    # A terminal's Ctrl-C and the end of a job's time reach all processes, workers included.
    os.killpg(process.pid, number)
    code, out, err = finish(process)
    assert code == (130 if number == signal.SIGINT else 75), err
    assert f"stopped by {signal.Signals(number).name}; the same command continues" in err
    assert "Traceback" not in err
    done = int(out.split()[0].replace(",", ""))
    assert newest(long) == done
    assert len(lines_of(long, "loss")) == done


def test_stopping_and_continuing_in_one_process(chosen, tmp_path):
    whole = changed(chosen, "run", out=str(tmp_path / "whole"), workers=1)
    report = train(whole)
    assert (report.steps, report.of, report.finished) == (12, 12, True)
    for stop in (1, 4, 9, 0):
        report = train(changed(chosen, "run", stop_at=stop))
        assert report.steps == (stop or 12)
    assert_same_run(whole, chosen)
    again = train(chosen)  # nothing is left to do, nothing changes, and the same is said
    assert (again.finished, again.loss, again.validation) == (True, report.loss, report.validation)
    assert_same_run(whole, chosen)


def test_workers_do_not_matter_and_the_seed_does(settings, tmp_path):
    runs = [
        changed(settings, "run", out=str(tmp_path / name), workers=workers, seed=seed)
        for name, workers, seed in (("none", 0, 0), ("two", 2, 0), ("other", 0, 1))
    ]
    torch.manual_seed(7)
    for run in runs:
        train(run)
    assert_same_run(runs[0], runs[1])
    assert lines_of(runs[0], "loss") != lines_of(runs[2], "loss")


def test_accumulating_is_a_larger_batch(divisible, tmp_path):
    whole = changed(divisible, "run", out=str(tmp_path / "whole"), micro_batch=4)
    parts = changed(divisible, "run", out=str(tmp_path / "parts"), micro_batch=1)
    train(whole)
    train(parts)
    assert_alike(parts, whole)


def test_other_settings_do_not_continue_a_run(settings):
    train(changed(settings, "run", stop_at=2))
    with pytest.raises(SettingsError, match=r"holds a run with other settings.*optim.lr 0.01, now"):
        train(changed(settings, "optim", lr=2e-2))
    with pytest.raises(SettingsError, match=r"run.seed 0, now 9"):
        train(changed(settings, "run", seed=9))


def test_a_damaged_checkpoint_is_passed_over_and_the_run_is_the_same(settings, tmp_path, capsys):
    whole = changed(settings, "run", out=str(tmp_path / "whole"))
    train(whole)
    path = train(changed(settings, "run", stop_at=8, keep_last=1)).checkpoint
    train(changed(settings, "run", stop_at=9))
    weights = path.with_name("step_00000009") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 4  # one bit
    weights.write_bytes(content)
    report = train(changed(settings, "run", keep_last=1))
    assert report.finished
    assert "taking the checkpoint of step 8 instead" in capsys.readouterr().err
    assert_same_run(whole, settings)


def test_two_trainings_into_one_folder_are_refused(settings):
    class Second(Callback):
        error = ""

        def on_step(self, trainer, metrics):
            if not self.error:
                with pytest.raises(MofoError) as caught:
                    train(settings)
                Second.error = str(caught.value)

    report = train(changed(settings, "run", stop_at=2), callbacks=[Second()])
    assert report.steps == 2
    assert settings.run.out in Second.error
    assert "another mofo" in Second.error
    half = report.checkpoint / "model.safetensors"
    aside = half.rename(half.with_suffix(".aside"))  # the other run may be removing it
    with folder_lock(Path(settings.run.out)), pytest.raises(MofoError, match="another mofo"):
        train(settings)
    aside.rename(half)
    assert train(settings).finished  # the lock ends with its run


@pytest.mark.slow
def test_two_processes_are_one_and_can_be_stopped_and_killed(settings, tmp_path):
    """Under torchrun. Fine-tuning, by processes forked here: ``test_many_processes.py``."""
    single = changed(settings, "run", out=str(tmp_path / "single"), save_every=2)
    train(single)
    double = changed(single, "run", out=str(tmp_path / "double"), micro_batch=1)
    # The launcher is told to end, tells all, and waits while they save.
    process = launch(double, tmp_path, *TWO)
    wait_for_step(double, process, 2)
    process.terminate()
    code, _, err = finish(process)
    assert code
    assert "stopped by SIGTERM; the same command continues from here" in err
    process = launch(double, tmp_path, *TWO)
    wait_for_step(double, process, newest(double) + 2)
    kill(process)
    code, _, err = finish(launch(double, tmp_path, *TWO))
    assert code == 0, err
    assert_alike(double, single)


def test_the_fusion_leaves_no_parameter_unused(tuned, tmp_path):
    """Two processes, some clips without motion; DDP looks for no unused parameters.

    The other fusions: ``models/test_classifier.py``.
    """
    chosen = changed(changed(tuned, "model", fusion="cross_attention"), "optim", epochs=1)
    chosen = changed(chosen, "run", micro_batch=1, out=str(tmp_path / "two"))
    codes, ended = ranks(2, lambda rank: train(chosen) and None)
    assert codes == [0, 0], ended.err
    assert lines_of(chosen, "step") == [0, 1, 2]
