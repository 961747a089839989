"""Pre-training with latent targets: what is predicted, how it goes on, what is refused."""

import pytest
import torch
import torch.nn.functional as F

from helpers.changes import changed
from helpers.hf_models import MEAN, STD, save
from helpers.trainings import assert_same_run, lines_of
from mofo.cli import main
from mofo.clips.batch import collate
from mofo.masking import Mask
from mofo.training.latent_task import LatentSettings, LatentTask
from mofo.training.saved_models import encoder_weights, open_autoencoder
from mofo.training.trainer import train
from mofo.types import SettingsError


@pytest.fixture
def teacher(tmp_path):
    """A folder of transformers, and the model in it."""
    return tmp_path / "teacher", save(tmp_path / "teacher", "vjepa2")


@pytest.fixture
def latent(sections, teacher):
    return LatentSettings(**sections, target={"encoder": f"hf:{teacher[0]}"})


def first_batch(task):
    return collate([task.dataset[0, row] for row in range(2)])


def test_targets_are_the_features_of_the_whole_clip(latent, teacher):
    latent = changed(latent, "data", size=32)
    task = LatentTask(latent)
    batch = first_batch(task)
    count = latent.grid().tokens
    target_BM = torch.tensor([[0, 3, count - 1], [5, 6, 7]])
    target_BMD = task.step.target(batch, Mask(target_BM, target_BM, None))
    pixels = (batch.frames_BTHWC / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        own = teacher[1](pixels.movedim(-1, 2), skip_predictor=True).last_hidden_state
    wanted = F.layer_norm(own, own.shape[-1:])[torch.arange(2)[:, None], target_BM]
    torch.testing.assert_close(target_BMD, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "layer"), [("videomae", -1), ("dinov2", -1), ("siglip_vision_model", 1)]
)
def test_each_kind_of_encoder_has_a_feature_for_every_token(sections, tmp_path, kind, layer):
    save(tmp_path / "other", kind)
    sections["data"]["size"] = 32  # two positions a side; DINOv2's tokens have 14 pixels
    target = {"encoder": f"hf:{tmp_path / 'other'}", "layer": layer}
    task = LatentTask(LatentSettings(**sections, target=target))
    batch = first_batch(task)
    model = task.build()
    output = task.forward_step(model, batch)
    output.loss.backward()
    assert model.settings.target_width == 24
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_loss_falls_and_a_stop_changes_nothing(latent, tmp_path):
    steady = latent.change(run={"out": str(tmp_path / "steady")}, optim={"epochs": 12})
    train(steady)
    losses = lines_of(steady, "loss")
    assert losses[-1] < 0.9 * losses[0]
    broken = changed(steady, "run", out=str(tmp_path / "broken"))
    train(changed(broken, "run", stop_at=5))
    train(broken)
    assert_same_run(steady, broken)
    # What was learned is an encoder like any other; its own features can be the next targets.
    assert encoder_weights(steady.run.out).settings.width == 64
    own = LatentSettings.from_dict(steady.to_dict(), "").change(
        target={"encoder": steady.run.out}, run={"out": str(tmp_path / "own")}
    )
    assert LatentTask(own).step.model_settings.target_width == 64


def test_other_weights_of_the_teacher_are_refused(latent, tmp_path):
    train(changed(latent, "run", stop_at=2))
    model = save(tmp_path / "other", "vjepa2")
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1)
    model.save_pretrained(tmp_path / "other")
    other = changed(latent, "target", encoder=f"hf:{tmp_path / 'other'}")
    with pytest.raises(SettingsError, match="other weights of the encoder"):
        train(other)


def test_command_pictures_and_export(videos, teacher, tmp_path, capsys):
    out = tmp_path / "run"
    words = {
        "data.source": videos, "data.areas": "none", "data.frames": 4, "data.size": 32,
        "model.size": "nano", "optim.batch": 4, "optim.epochs": 1, "run.micro_batch": 4,
        "run.workers": 0, "run.trackers": "[]", "run.pictures_every": 1, "run.out": out,
    }  # fmt: skip
    pairs = [str(word) for key, value in words.items() for word in (f"--{key}", value)]
    command = ["pretrain", "--config", "tiny", "--task", "latent", "--quiet", *pairs]
    assert main(command) == 2
    assert "target.encoder" in capsys.readouterr().err
    assert main([*command, "--target.encoder", f"hf:{tmp_path / 'none'}"]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main([*command, "--target.encoder", f"hf:{teacher[0]}", "--target.layer", "2"]) == 0
    assert open_autoencoder(out)[0].settings.target_width == 48
    picture = ["show", "reconstruction", str(out), str(videos), "--out", str(tmp_path / "x.png")]
    capsys.readouterr()
    assert main(picture) == 2
    assert "not pixels" in capsys.readouterr().err
    exported = ["weights", "export", str(out), "--to", "hf", "--out", str(tmp_path / "hf")]
    assert main(exported) == 1
    assert capsys.readouterr().err.count("\n") == 1
