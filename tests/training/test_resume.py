import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers.changes import changed
from mofo.training.callbacks import Callback
from mofo.training.checkpoint import CheckpointFolder, open_checkpoint
from mofo.training.journal import read_journal
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.trainer import train
from mofo.types import MofoError, SettingsError


def losses(settings: PretrainSettings) -> list[float]:
    lines = read_journal(open_journal(settings))
    assert [line["step"] for line in lines] == list(range(len(lines)))
    return [line["loss"] for line in lines]


def open_journal(settings):
    return Path(settings.run.out) / "metrics.jsonl"


def weights(settings):
    return open_checkpoint(settings.run.out).model()


def assert_same_run(settings, other):
    assert losses(settings) == losses(other)
    ours, theirs = weights(settings), weights(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def launch(settings, tmp_path, *before):
    recipe = tmp_path / f"{Path(settings.run.out).name}.yaml"
    settings.write(recipe)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *before, "mofo", "pretrain", "--config", str(recipe), "--quiet"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def kill(process):
    """SIGKILL to the process and its loader workers."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_killed_five_times_at_random_and_still_the_same_bit_for_bit(settings, tmp_path):
    steady = changed(
        changed(settings, "run", out=str(tmp_path / "steady"), workers=2, save_every=2),
        "optim", epochs=20,
    )  # fmt: skip
    code, _, err = finish(launch(steady, tmp_path))
    assert code == 0, err
    broken = changed(steady, "run", out=str(tmp_path / "broken"))
    rng = random.Random(5)
    killed_at = []
    for kills in range(5):
        # Some steps further than the last time, and then a random moment: in a step, in a write.
        goal = (killed_at[-1] if killed_at else 0) + rng.randint(2, 7)
        process = launch(broken, tmp_path)
        while newest(broken) < goal and process.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.15))
        assert process.poll() is None, f"ended before kill {kills}: {finish(process)}"
        kill(process)
        killed_at.append(newest(broken))
    assert killed_at == sorted(killed_at)
    assert killed_at[-1] < 40
    code, _, err = finish(launch(broken, tmp_path))
    assert code == 0, err
    assert len(losses(broken)) == 40
    assert_same_run(steady, broken)


def newest(settings) -> int:
    return max(CheckpointFolder(Path(settings.run.out) / "checkpoints", 1).steps(), default=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(settings, tmp_path, number):
    long = changed(changed(settings, "optim", epochs=400), "run", workers=1)
    process = launch(long, tmp_path)
    while newest(long) < 4 and process.poll() is None:
        time.sleep(0.01)
    # A terminal's Ctrl-C and the end of a job's time reach all processes, workers included.
    os.killpg(process.pid, number)
    code, out, err = finish(process)
    assert code == 1, err
    assert f"stopped by {signal.Signals(number).name}; the same command continues" in err
    assert "Traceback" not in err
    done = int(out.split()[0].replace(",", ""))
    assert newest(long) == done
    assert len(losses(long)) == done


def test_stopping_and_going_on_in_one_process(settings, tmp_path):
    whole = changed(settings, "run", out=str(tmp_path / "whole"))
    report = train(whole)
    assert (report.steps, report.of, report.finished) == (12, 12, True)
    for stop in (1, 5, 6, 0):
        report = train(changed(settings, "run", stop_at=stop))
        assert report.steps == (stop or 12)
    assert_same_run(whole, settings)
    # Once more: nothing is left to do, and nothing changes.
    assert train(settings).finished
    assert_same_run(whole, settings)


def test_workers_do_not_matter_and_the_seed_does(settings, tmp_path):
    runs = [
        changed(settings, "run", out=str(tmp_path / name), workers=workers, seed=seed)
        for name, workers, seed in (("none", 0, 0), ("two", 2, 0), ("other", 0, 1))
    ]
    torch.manual_seed(7)
    for run in runs:
        train(run)
    assert_same_run(runs[0], runs[1])
    assert losses(runs[0]) != losses(runs[2])


def test_accumulating_is_a_larger_batch(settings, tmp_path):
    whole = changed(settings, "run", out=str(tmp_path / "whole"), micro_batch=4)
    parts = changed(settings, "run", out=str(tmp_path / "parts"), micro_batch=1)
    train(whole)
    train(parts)
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-5)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], tensor, rtol=1e-3, atol=1e-5)


def test_other_settings_do_not_go_on_with_a_run(settings):
    train(changed(settings, "run", stop_at=2))
    with pytest.raises(SettingsError, match=r"holds a run with other settings.*optim.lr 0.01, now"):
        train(changed(settings, "optim", lr=2e-2))
    with pytest.raises(SettingsError, match=r"run.seed 0, now 9"):
        train(changed(settings, "run", seed=9))


def test_a_run_that_has_ended_says_the_same_once_more(settings):
    first, second = train(settings), train(settings)
    assert (first.loss, first.steps) == (second.loss, second.steps)


def test_a_damaged_checkpoint_is_passed_over_and_the_run_is_the_same(settings, tmp_path, capsys):
    whole = changed(settings, "run", out=str(tmp_path / "whole"))
    train(whole)
    path = train(changed(settings, "run", stop_at=8, keep_last=1)).checkpoint
    train(changed(settings, "run", stop_at=9))
    newest = path.with_name("step_00000009") / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[-5] ^= 4  # one bit
    newest.write_bytes(content)
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
    assert train(settings).finished  # the lock ends with its run


@pytest.mark.slow
def test_two_processes_are_one_larger_and_can_be_killed(settings, tmp_path):
    single = changed(settings, "run", out=str(tmp_path / "single"))
    train(single)
    double = changed(settings, "run", out=str(tmp_path / "double"), micro_batch=1, save_every=2)
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    process = launch(double, tmp_path, *launcher)
    while newest(double) < 4 and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, finish(process)
    kill(process)
    code, _, err = finish(launch(double, tmp_path, *launcher))
    assert code == 0, err
    assert losses(double) == pytest.approx(losses(single), rel=1e-5)
    for name, tensor in weights(single).items():
        torch.testing.assert_close(weights(double)[name], tensor, rtol=1e-3, atol=1e-5)
