import errno
import json
import os

import pytest
import torch

from helpers.changes import changed
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.training import checkpoint as module
from mofo.training.checkpoint import (
    CheckpointError,
    CheckpointFolder,
    fit_weights,
    open_checkpoint,
)
from mofo.training.pretrain_task import pretrain
from mofo.types import SettingsError, TokenGrid

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(())}


def save(folder, step, loss=1.0):
    return folder.save(step, WEIGHTS, {"exp_avg/a": WEIGHTS["a"]}, {"settings": {}}, loss)


def test_what_was_saved_comes_back(tmp_path):
    path = save(CheckpointFolder(tmp_path / "c", 2), 5)
    for place in (path, tmp_path / "c", tmp_path / "c" / "step_00000005"):
        found = open_checkpoint(place)
        assert (found.step, found.facts["loss"]) == (5, 1.0)
        assert torch.equal(found.model()["a"], WEIGHTS["a"])
        assert torch.equal(found.optimiser()["exp_avg/a"], WEIGHTS["a"])


def test_the_last_few_and_the_best_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path, 2)
    for step, loss in enumerate([3.0, 0.5, 2.0, 2.0, 2.0], 1):
        save(folder, step, loss)
    assert folder.steps() == [2, 4, 5]
    assert folder.best() == 2
    assert folder.last().step == 5


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
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.endswith(".part")] == []
    assert torch.equal(folder.last().model()["a"], WEIGHTS["a"])


def test_half_a_checkpoint_is_none(tmp_path):
    folder = CheckpointFolder(tmp_path, 3)
    save(folder, 1)
    half = tmp_path / ".step_00000002.part"
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
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_checkpoint(path).model()
    (path / "checkpoint.json").write_text("[")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_checkpoint(path)


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
    fit_weights(model, before, "there")


def test_the_best_is_noted_beside(tmp_path):
    save(CheckpointFolder(tmp_path, 1), 7, 0.25)
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 7, "error": 0.25}


def test_a_run_of_before_a_key_existed_goes_on(settings):
    """New keys come with defaults that leave old runs as they were."""
    short = changed(settings, "run", stop_at=4)
    checkpoint = pretrain(short).checkpoint / "checkpoint.json"
    facts = json.loads(checkpoint.read_text())
    del facts["settings"]["data"]["split"]
    checkpoint.write_text(json.dumps(facts))
    assert pretrain(settings).finished
    facts["settings"]["data"]["stride"] = 3
    newest = max((checkpoint.parents[1]).glob("step_*")) / "checkpoint.json"
    newest.write_text(json.dumps(facts | {"step": 12}))
    with pytest.raises(SettingsError, match=r"data\.stride 3, now 2"):
        pretrain(settings)
