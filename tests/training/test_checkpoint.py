import errno
import json
import os

import pytest
import torch

from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.training import checkpoint as module
from mofo.training.checkpoint import (
    CheckpointError,
    CheckpointFolder,
    open_checkpoint,
)
from mofo.training.saved_models import fit_weights
from mofo.types import TokenGrid

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(())}


def save(folder, step, loss=1.0):
    metadata = {"task": "pretrain", "loss": loss, "error": loss}
    return folder.save(step, WEIGHTS, {"exp_avg/a": WEIGHTS["a"]}, metadata)


def test_what_was_saved_comes_back(tmp_path):
    path = save(CheckpointFolder(tmp_path / "c", 2), 5)
    for place in (path, tmp_path / "c", tmp_path / "c" / "step_00000005"):
        found = open_checkpoint(place)
        assert (found.step, found.metadata.loss) == (5, 1.0)
        assert torch.equal(found.model()["a"], WEIGHTS["a"])
        assert torch.equal(found.optimiser()["exp_avg/a"], WEIGHTS["a"])


def test_the_last_few_and_the_best_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path, 2)
    for step, loss in enumerate([3.0, 0.5, 2.0, 2.0, 2.0], 1):
        save(folder, step, loss)
    assert folder.steps() == [2, 4, 5]
    assert folder.best() == 2
    assert folder.last_whole()[0].step == 5


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path, 2)
    save(folder, 1)
    real = module.save_file

    def full(tensors, path):
        if path.name == "optimiser.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(tensors, path)

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*make room") as caught:
        save(folder, 2)
    assert "\n" not in str(caught.value)
    assert folder.steps() == [1]
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.endswith(".tmp")] == []
    assert torch.equal(folder.last_whole()[0].model()["a"], WEIGHTS["a"])


def test_half_a_checkpoint_is_none(tmp_path):
    folder = CheckpointFolder(tmp_path, 3)
    save(folder, 1)
    half = tmp_path / ".step_00000002-0-0.tmp"
    half.mkdir()
    (half / "checkpoint.json").write_text("{}")
    assert folder.steps() == [1]
    save(folder, 2)
    assert folder.steps() == [1, 2]


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        open_checkpoint(tmp_path / "nothing")
    path = save(CheckpointFolder(tmp_path, 1), 1)
    (path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="is damaged"):
        open_checkpoint(path).model()


DAMAGED_JSON = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "a list": lambda text: "[1, 2]",
    "null": lambda text: "null",
    "a text": lambda text: '"step"',
    "nested": lambda text: "[" * 100_000,
    "not UTF-8": lambda text: text.replace("pretrain", "\udcff"),
    "no task": lambda text: text.replace('"task"', '"tisk"'),
    "no digests": lambda text: text.replace('"digests"', '"dogests"'),
    "step is a word": lambda text: text.replace('"step": 1', '"step": "one"'),
    "step is negative": lambda text: text.replace('"step": 1', '"step": -1'),
    "another step": lambda text: text.replace('"step": 1', '"step": 3'),
    "another loss": lambda text: text.replace('"loss": 1.0', '"loss": 2.0'),
    "settings are a list": lambda text: text.replace('"settings": {}', '"settings": []'),
}


@pytest.mark.parametrize("damage", DAMAGED_JSON)
def test_damaged_metadata_are_one_clear_line(tmp_path, damage):
    path = save(CheckpointFolder(tmp_path, 1), 1)
    file = path / "checkpoint.json"
    before = file.read_text()
    after = DAMAGED_JSON[damage](before)
    assert after != before
    file.write_text(after, errors="surrogateescape")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def flip(file, place=-1):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["model", "optimiser"])
@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_damaged_tensors_are_found(tmp_path, name, damage):
    path = save(CheckpointFolder(tmp_path, 1), 1)
    file = path / f"{name}.safetensors"
    if damage == "flip":
        flip(file)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-3])
    else:
        file.unlink()
    opened = open_checkpoint(path)
    with pytest.raises(CheckpointError, match=file.name):
        getattr(opened, name)()
    with pytest.raises(CheckpointError, match=file.name):
        opened.check()


def test_a_checkpoint_under_the_name_of_another_step(tmp_path):
    path = save(CheckpointFolder(tmp_path, 3), 1)
    path.rename(tmp_path / "step_00000007")
    with pytest.raises(CheckpointError, match="holds step 1, not what its name says"):
        open_checkpoint(tmp_path / "step_00000007")


def test_the_newest_that_is_whole_is_taken_and_the_others_set_aside(tmp_path):
    folder = CheckpointFolder(tmp_path, 1)
    for step in (1, 2, 3):
        save(CheckpointFolder(tmp_path, 9), step)
    flip(tmp_path / "step_00000003" / "optimiser.safetensors")
    (tmp_path / "step_00000002" / "checkpoint.json").unlink()
    whole, lines = folder.last_whole()
    assert whole.step == 1
    assert len(lines) == 2
    assert all("taking the checkpoint of step 1 instead" in line for line in lines)
    folder.tidy(1)
    assert folder.steps() == [1]
    assert (tmp_path / "step_00000003.damaged").is_dir()
    assert open_checkpoint(tmp_path).step == 1
    flip(tmp_path / "step_00000001" / "model.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint of this run is whole"):
        folder.last_whole()


def test_whoever_opens_a_run_gets_what_is_whole_and_is_told(tmp_path, capsys):
    for step, error in ((1, 0.5), (2, 0.1), (3, 0.3)):
        metadata = {"task": "finetune", "error": error, "history": {"best": 0.1}}
        CheckpointFolder(tmp_path, 9).save(step, WEIGHTS, {}, metadata)
    assert [open_checkpoint(tmp_path, best=best).step for best in (False, True)] == [3, 2]
    assert capsys.readouterr().err == ""
    flip(tmp_path / "step_00000002" / "model.safetensors")
    assert open_checkpoint(tmp_path, best=True).step == 3
    assert "instead of the best" in capsys.readouterr().err
    flip(tmp_path / "step_00000003" / "model.safetensors")
    assert open_checkpoint(tmp_path).step == 1
    assert "taking the checkpoint of step 1 instead" in capsys.readouterr().err


def test_weights_of_another_size_are_refused_by_name():
    grid = TokenGrid(4, 32, 32)
    model = MaskedAutoencoder(ModelSettings.named("nano", grid=grid))
    other = MaskedAutoencoder(ModelSettings.named("tiny", grid=grid)).state_dict()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"another model.*other shapes.*and \d+ more"
    ) as caught:
        fit_weights(model, other, "there")
    assert str(caught.value).startswith("there:")
    with pytest.raises(CheckpointError, match="missing"):
        fit_weights(model, dict(list(before.items())[1:]), "there")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    half = {name: tensor.half() for name, tensor in before.items()}
    with pytest.raises(CheckpointError, match="float16"):
        fit_weights(model, half, "there")
    broken = {name: tensor.clone() for name, tensor in before.items()}
    next(iter(broken.values())).view(-1)[0] = float("nan")
    with pytest.raises(CheckpointError, match="no number"):
        fit_weights(model, broken, "there")
    fit_weights(model, before, "there")


def test_the_best_is_noted_beside(tmp_path):
    save(CheckpointFolder(tmp_path, 1), 7, 0.25)
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 7, "error": 0.25}
