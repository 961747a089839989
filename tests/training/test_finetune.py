"""What a fine-tuning learns, keeps and leaves alone."""

import json
from pathlib import Path

import pytest
import torch

import mofo
from helpers.changes import changed
from helpers.coloured import COLOURS, rows_of, write_rows
from mofo.models.classifier import Classifier
from mofo.training.callbacks import Callback
from mofo.training.checkpoint import CheckpointFolder, open_checkpoint
from mofo.training.finetune_task import FinetuneTask
from mofo.training.journal import read_journal
from mofo.training.saved_models import encoder_weights, open_classifier
from mofo.training.trainer import train
from mofo.types import SettingsError


def lines_of(settings, name="metrics.jsonl"):
    return read_journal(Path(settings.run.out) / name)


def folder_of(settings):
    return CheckpointFolder(Path(settings.run.out) / "checkpoints", 1)


@pytest.mark.parametrize(
    "fusion", ["cross_attention", pytest.param("mean", marks=pytest.mark.slow)]
)
def test_colours_are_learned(plain_tuned, fusion):
    chosen = changed(changed(plain_tuned, "optim", epochs=10), "model", fusion=fusion)
    chosen = changed(chosen, "run", save_every=100)
    report = train(chosen)
    losses = [line["loss"] for line in lines_of(chosen)]
    assert (report.steps, report.of, report.finished) == (30, 30, True)
    assert losses[0] == pytest.approx(torch.log(torch.tensor(3.0)).item(), abs=0.01)
    assert sum(losses[-5:]) / 5 < 0.5 * losses[0]
    assert report.validation["top1"] == 1.0
    assert report.validation["videos"] == 6
    assert lines_of(chosen)[-1].keys() >= {"area", "top1_label", "norm", "lr"}


def test_what_a_run_leaves_can_be_used(tuned):
    report = train(tuned)
    saved = open_classifier(tuned.run.out)
    assert saved.classes == {"label": tuple(COLOURS)}
    assert saved.sampling.sampling == "segments"
    assert saved.sampling.areas == "store"
    assert saved.checkpoint.step == report.best
    assert report.validation.keys() == {"videos", "loss", "top1", "error"}
    assert [line["step"] for line in lines_of(tuned, "validation.jsonl")] == [4, 8, 12]


def test_the_best_checkpoint_by_validation_is_kept(tuned, monkeypatch):
    errors = iter([0.5, 0.2, 0.4, 0.2, 0.3, 0.9])
    monkeypatch.setattr(FinetuneTask, "validate", lambda *_: {"videos": 6.0, "error": next(errors)})
    chosen = changed(tuned, "run", save_every=2, keep_last=1)
    report = train(chosen)
    assert report.best == 4
    assert folder_of(chosen).steps() == [4, 12]
    assert open_checkpoint(chosen.run.out, best=True).step == 4


def test_a_run_without_improvement_ends_early(tuned, monkeypatch):
    errors = iter([0.5, 0.4, 0.4, 0.6, 0.1])
    monkeypatch.setattr(FinetuneTask, "validate", lambda *_: {"videos": 6.0, "error": next(errors)})
    chosen = changed(changed(tuned, "run", save_every=2), "optim", early_stop_patience=2)
    report = train(chosen)
    assert (report.steps, report.of, report.finished, report.best) == (8, 12, True, 4)
    again = train(chosen)
    assert (again.steps, again.finished, again.best) == (8, True, 4)
    assert len(lines_of(chosen)) == 8


def test_checkpoints_that_nobody_validated_are_no_candidates(tuned):
    """One that a signal or run.stop_at left is of the same run, but says nothing."""
    stopped = train(changed(tuned, "run", stop_at=3))
    assert (stopped.best, folder_of(tuned).best()) == (None, None)
    assert train(tuned).best in (4, 8, 12)


def test_a_kill_between_a_checkpoint_and_the_note_of_the_best(tuned, monkeypatch):
    errors = iter([0.5, 0.2])
    monkeypatch.setattr(FinetuneTask, "validate", lambda *_: {"videos": 6.0, "error": next(errors)})
    train(changed(tuned, "run", stop_at=8))
    note = folder_of(tuned).path / "best.json"
    assert json.loads(note.read_text()) == {"step": 8, "error": 0.2}
    note.write_text(json.dumps({"step": 4, "error": 0.5}))
    train(changed(tuned, "run", stop_at=8))
    assert folder_of(tuned).best() == 8


@pytest.mark.parametrize("what", [pytest.param("encoder", marks=pytest.mark.slow), 1])
def test_frozen_parts_stay_as_they_are(tuned, what):
    chosen = changed(tuned, "model", freeze=what)
    train(changed(chosen, "run", stop_at=5))
    train(chosen)  # also across a stop
    found = open_checkpoint(chosen.run.out).model()
    torch.manual_seed(0)
    fresh = FinetuneTask(changed(chosen, "run", out="elsewhere")).build().state_dict()
    depth = len({name.split(".")[2] for name in fresh if name.startswith("encoder.blocks.")})
    blocks = depth if what == "encoder" else 1
    frozen = ("encoder.embed.", *(f"encoder.blocks.{number}." for number in range(blocks)))
    assert blocks < depth or what == "encoder"
    for name, tensor in found.items():
        same = torch.equal(tensor, fresh[name])
        assert same == name.startswith((*frozen, "encoder.positions.")), name


def test_begins_with_the_encoder_of_a_pretraining(tuned, settings, capsys):
    before = train(changed(settings, "run", stop_at=4))
    chosen = changed(tuned, "model", init=settings.run.out, size="small", freeze="encoder")
    chosen = changed(chosen, "run", stop_at=1, out=settings.run.out + "-labels")
    train(chosen, progress=True)
    said = capsys.readouterr().err
    assert f"{before.checkpoint}: " in said
    assert "tensors of the encoder loaded" in said
    assert "model.size small is not used" in said
    assert "positions interpolated from 2x3x3 to 2x2x2 tokens" in said
    wanted = encoder_weights(settings.run.out).weights
    found = open_checkpoint(chosen.run.out).model()
    name = "encoder.blocks.0.attention.qkv.weight"
    assert torch.equal(found[name], wanted[name])
    # And a fine-tuned one can be begun with, too.
    again = changed(changed(chosen, "model", init=chosen.run.out), "run", out=chosen.run.out + "2")
    train(again, progress=False)
    assert torch.equal(open_checkpoint(again.run.out).model()[name], wanted[name])


def test_another_patch_size_than_the_checkpoint_is_one_line(tuned, settings):
    train(changed(settings, "run", stop_at=1))
    chosen = changed(tuned, "run", out=settings.run.out + "-labels")
    with pytest.raises(SettingsError, match=r"tubelet, patch\): other shapes: encoder.embed") as e:
        train(changed(chosen, "model", init=settings.run.out, patch=8))
    assert "\n" not in str(e.value)


def several_heads(coloured, tmp_path):
    rows = [
        [path, colour, "warm" if colour == "red" else "cold", split]
        for path, colour, split in rows_of(coloured)
    ]
    return write_rows(tmp_path / "heads.csv", rows, "path,verb,noun,split")


def test_verb_and_noun(plain_tuned, coloured, tmp_path):
    table = several_heads(coloured, tmp_path)
    chosen = changed(plain_tuned, "data", source=(str(table),), heads=("verb", "noun"))
    chosen = changed(chosen, "run", save_every=100)
    report = train(changed(chosen, "optim", epochs=8))
    found = report.validation
    assert found.keys() == {"videos", "loss", "top1", "top1_verb", "top1_noun", "error"}
    assert found["top1"] <= min(found["top1_verb"], found["top1_noun"])
    assert found["top1_noun"] == 1.0
    assert open_classifier(chosen.run.out).classes == {
        "verb": ("blue", "green", "red"), "noun": ("cold", "warm"),
    }  # fmt: skip


def test_several_classes_of_a_video(plain_tuned, coloured, tmp_path):
    rows = [
        [path, {"red": "warm", "blue": "cold", "green": "cold;fresh"}[colour], split]
        for path, colour, split in rows_of(coloured)
    ]
    table = write_rows(tmp_path / "multi.csv", rows, "path,labels,split")
    chosen = changed(plain_tuned, "data", source=(str(table),))
    chosen = changed(chosen, "loss", labels="multi", smoothing=0.0)
    chosen = changed(chosen, "run", save_every=100)
    report = train(changed(chosen, "optim", epochs=8))
    assert report.validation.keys() == {"videos", "loss", "error"}
    assert report.validation["error"] == report.validation["loss"] < 0.45  # from 0.69
    assert open_classifier(chosen.run.out).settings.labels == "multi"


def test_few_labels(tuned):
    chosen = changed(tuned, "data", per_class=2)
    task = FinetuneTask(chosen)
    assert len(task.dataset) == 6
    names = {Path(video.path).name for video in task.dataset.videos}
    more = {
        Path(v.path).name for v in FinetuneTask(changed(tuned, "data", per_class=3)).dataset.videos
    }
    assert names < more
    other = changed(chosen, "run", seed=4)
    assert {Path(v.path).name for v in FinetuneTask(other).dataset.videos} != names
    assert train(chosen).finished


def test_pictures_are_drawn(tuned):
    chosen = changed(tuned, "run", pictures_every=6)
    mofo.finetune(chosen)
    drawn = sorted((Path(chosen.run.out) / "pictures").iterdir())
    assert [path.name for path in drawn] == ["step_00000000.png", "step_00000006.png"]


def test_the_plan_is_drawn_where_clips_are_read(tuned):
    """And changes nothing: without it, the pass draws the same."""
    task = FinetuneTask(tuned)
    samples = task.dataset.__getitems__([(0, 0), (0, 1), (0, 2)])
    planned = task.collate_fn(samples)
    again = task.step.augmentation.plan(planned.noise_BN)
    assert planned.plan.operations == again.operations
    assert planned.plan.mixes == again.mixes
    assert any(mix is not None for mix in again.mixes)
    moved = planned.to("cpu")
    assert moved.plan is planned.plan
    model = task.build()
    assert isinstance(model, Classifier)
    model.eval()
    assert torch.isfinite(task.step(model, moved).loss)


def test_callbacks_see_the_training(tuned):
    class Notes(Callback):
        def __init__(self):
            self.seen = []

        def on_start(self, trainer):
            self.seen.append(("start", trainer.start))

        def on_batch(self, trainer, step, batch):
            assert len(batch) == 4

        def on_step(self, trainer, metrics):
            self.seen.append(("step", metrics.step))

        def on_validation(self, trainer, step, metrics):
            self.seen.append(("validation", step))
            assert metrics["videos"] == 6

        def on_checkpoint(self, trainer, path):
            self.seen.append(("checkpoint", open_checkpoint(path).step))

        def on_end(self, trainer):
            self.seen.append(("end", trainer.schedule.steps))

    notes = Notes()
    train(changed(tuned, "run", stop_at=5), callbacks=[notes])
    assert notes.seen == [
        ("start", 0), *(("step", k) for k in range(4)), ("validation", 4), ("checkpoint", 4),
        ("step", 4), ("checkpoint", 5), ("end", 12),
    ]  # fmt: skip
