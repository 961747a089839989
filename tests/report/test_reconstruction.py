import dataclasses
import os

import numpy as np
import pytest
import torch

from helpers.classifiers import write_classifier
from helpers.shown import batch, checkpoint, frames_of, model, one_pass, read_png, settings
from mofo.models.patches import put_patches, take_patches
from mofo.report.figures.chosen_clips import choose_clips
from mofo.report.figures.layout import ALARM
from mofo.report.figures.reconstruction import (
    LEAK_LABEL,
    captions,
    reconstruct,
    reconstruct_checkpoint,
    reconstruction_film,
    write_reconstruction,
)
from mofo.training.checkpoint import CheckpointError
from mofo.types import MofoError, SettingsError

CHOSEN = settings()
RAW = settings(loss={"normalise": False})


def clips_of(found):
    return np.stack([clip.frames_THWC for clip in found.clips])


def with_other_hidden_pixels(clips, chosen, seed=5):
    """The same clips with noise where the mask hides them."""
    grid = chosen.grid()
    index_BM = one_pass(chosen).area_and_mask(clips)[1].target_BM
    shape = (*index_BM.shape, grid.tubelet * grid.patch**2 * 3)
    noise = torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    changed = put_patches(clips.frames_BTHWC, grid, index_BM, noise)
    assert (changed != clips.frames_BTHWC).float().mean() > 0.7
    return dataclasses.replace(clips, frames_BTHWC=changed)


@pytest.mark.parametrize("chosen", [CHOSEN, RAW], ids=["normalised", "raw"])
def test_the_honest_picture_knows_nothing_of_the_hidden_pixels(chosen):
    clips, built = batch(), model(chosen)
    one = reconstruct(built, clips, one_pass(chosen))
    other = reconstruct(built, with_other_hidden_pixels(clips, chosen), one_pass(chosen))
    assert np.array_equal(one.honest_BTHWC, other.honest_BTHWC)
    assert not np.array_equal(clips_of(one), clips_of(other))
    assert np.array_equal(one.hidden_Bthw, other.hidden_Bthw)
    # The panel as it is drawn, too: the third one.
    tiles = [reconstruction_film(made, 1).tiles(2, 20) for made in (one, other)]
    assert np.array_equal(tiles[0][2], tiles[1][2])
    assert not np.array_equal(tiles[0][0], tiles[1][0])


def test_the_leaking_picture_changes_with_the_hidden_pixels():
    clips, built = batch(), model(CHOSEN)
    changed = with_other_hidden_pixels(clips, CHOSEN)
    one, other = (
        reconstruct(built, each, one_pass(CHOSEN), leak=True) for each in (clips, changed)
    )
    assert np.array_equal(one.honest_BTHWC, other.honest_BTHWC)
    assert (one.leaking_BTHWC != other.leaking_BTHWC).mean() > 0.5


def test_a_model_that_predicts_nothing_shows_what_leaks():
    """Without any pattern, the leaking picture is the true mean of each hidden patch."""
    clips, built = batch(), model(CHOSEN)
    with torch.no_grad():
        built.decoder.head.weight.zero_()
        built.decoder.head.bias.zero_()
    found = reconstruct(built, clips, one_pass(CHOSEN), leak=True)
    hidden_BN = found.hidden_Bthw.reshape(2, -1)

    def means(frames):
        patches = take_patches(torch.from_numpy(frames), found.grid).float()
        return patches.unflatten(2, (-1, 3)).mean(2).numpy()[hidden_BN]

    np.testing.assert_allclose(means(found.leaking_BTHWC), means(clips_of(found)), atol=0.51)
    assert np.abs(means(found.honest_BTHWC) - means(clips_of(found))).mean() > 10
    np.testing.assert_allclose(found.error_B, found.flat_error_B, rtol=1e-6)
    np.testing.assert_allclose(found.flat_error_B, 1, atol=0.01)


def test_visible_tokens_are_as_given_and_errors_are_those_of_the_loss():
    clips, built = batch(3), model(CHOSEN).eval()
    found = reconstruct(built, clips, one_pass(CHOSEN))
    patches = [
        take_patches(torch.from_numpy(frames), found.grid).numpy()
        for frames in (clips_of(found), found.honest_BTHWC)
    ]
    same_BN = (patches[0] == patches[1]).all(2)
    assert np.array_equal(same_BN, ~found.hidden_Bthw.reshape(3, -1))
    with torch.no_grad():
        loss = one_pass(CHOSEN)(built, clips).loss
    np.testing.assert_allclose(found.error_B.mean(), loss, rtol=1e-5)
    assert found.names == ("clip0.mp4", "clip1.mp4", "clip2.mp4")
    raw = reconstruct(model(RAW), clips, one_pass(RAW))
    assert (raw.flat_error_B < 0.2).all()
    assert (raw.flat_error_B > 0.001).all()


def test_clips_are_spread_over_the_batch():
    found = reconstruct(model(CHOSEN), batch(16), one_pass(CHOSEN), clips=4)
    assert found.names == ("clip2.mp4", "clip6.mp4", "clip10.mp4", "clip14.mp4")
    assert np.array_equal(clips_of(found), batch(16).frames_BTHWC[[2, 6, 10, 14]].numpy())


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(tmp_path, training):
    chosen = settings(model={"drop_path": 0.5})
    built = model(chosen).train(training)
    state = torch.get_rng_state()
    paths = [tmp_path / name for name in ("step_00000100.png", "again.png")]
    found = [write_reconstruction(built, batch(), one_pass(chosen), path) for path in paths]
    assert np.array_equal(found[0].honest_BTHWC, found[1].honest_BTHWC)  # no branch was dropped
    assert all(module.training is training for module in built.modules())
    assert all(parameter.grad is None for parameter in built.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("leak", [False, True])
@pytest.mark.parametrize("clips", [1, 3])
def test_sheets_fit_a_slide_and_a_leak_is_framed_in_red(tmp_path, leak, clips):
    path = tmp_path / "step_00000100.png"
    made = write_reconstruction(model(CHOSEN), batch(clips), one_pass(CHOSEN), path, leak=leak)
    sheet = read_png(path)
    assert 1200 < sheet.shape[1] <= 1400
    assert len(sheet) < 1800
    red = (sheet == ALARM).all(2)
    assert red.any() == leak
    if leak:  # the label's letters, and the frames around the leaking pictures
        assert red[:200].sum() > 200
    film = reconstruction_film(made, 0)
    assert len(film.rows) == len(film.tiles(0, 8)) == 3 + leak
    assert f"{made.error_B[0]:.3f}" in film.heading


def test_captions_say_where_mean_and_contrast_come_from():
    assert LEAK_LABEL == (
        "uses the true mean and variance of the hidden patches: looks good whatever was learned"
    )
    for normalised in (True, False):
        text = " ".join(captions(normalised))
        assert "Nothing is taken from the hidden patches" in text
        assert ("guessed from visible patches" in text) is normalised


def test_video_has_all_frames_and_the_label_in_each(tmp_path):
    path = tmp_path / "x.mp4"
    write_reconstruction(model(CHOSEN), batch(1), one_pass(CHOSEN), path, leak=True)
    frames = frames_of(path)
    assert len(frames) == 4
    assert 1200 < frames[0].shape[1] <= 1400
    for frame in frames:
        assert (np.abs(frame[:200].astype(int) - ALARM).max(2) < 60).sum() > 200


def test_a_broken_model_can_be_looked_at(tmp_path):
    built = model(CHOSEN)
    with torch.no_grad():
        built.decoder.head.bias.fill_(float("nan"))
    found = write_reconstruction(built, batch(), one_pass(CHOSEN), tmp_path / "x.png", leak=True)
    assert np.isnan(found.error_B).all()
    assert (tmp_path / "x.png").exists()


def test_no_motion_and_boxes_at_the_border():
    clips = batch()
    clips.valid_BT[0] = False
    clips.box_BT4[1] = torch.tensor([0.0, 0, 64, 64])
    made = reconstruct(model(CHOSEN), clips, one_pass(CHOSEN))
    still, moving = (reconstruction_film(made, clip) for clip in range(2))
    assert "no motion" in still.heading
    assert "no motion" not in moving.heading
    assert np.array_equal(still.tiles(0, 16)[0], clips_of(made)[0, 0])
    assert (moving.tiles(0, 16)[0][0] == (255, 140, 0)).all()


def test_mistakes(tmp_path):
    with pytest.raises(SettingsError, match=r"must end in \.png"):
        write_reconstruction(model(CHOSEN), batch(), one_pass(CHOSEN), tmp_path / "x.jpg")
    with pytest.raises(SettingsError, match="nothing to leak"):
        write_reconstruction(model(RAW), batch(), one_pass(RAW), tmp_path / "x.png", leak=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(MofoError, match="file: cannot be written: is a file"):
        write_reconstruction(model(CHOSEN), batch(), one_pass(CHOSEN), tmp_path / "file/x.png")


def test_a_checkpoint_is_shown_on_videos(tmp_path, videos):
    run = tmp_path / "some_run"
    place = checkpoint(run, CHOSEN)
    for name in (run, place):
        drawn = reconstruct_checkpoint(name, [videos], tmp_path / "x.png", leak=True)
        assert drawn.made.names == ("clip0.mp4", "clip1.mp4", "clip2.mp4")
        assert drawn.notes == ()
    again = reconstruct_checkpoint(place, [videos], tmp_path / "y.png")
    assert (tmp_path / "x.png").stat().st_size > (tmp_path / "y.png").stat().st_size
    np.testing.assert_array_equal(again.made.honest_BTHWC, drawn.made.honest_BTHWC)
    other = reconstruct_checkpoint(place, [videos], tmp_path / "y.png", seed=1)
    assert not np.array_equal(other.made.hidden_Bthw, again.made.hidden_Bthw)
    np.testing.assert_array_equal(clips_of(other.made), clips_of(again.made))
    # It is what the model makes of these clips, not something near it.
    chosen = choose_clips([videos], CHOSEN.grid(), stride=2, areas="dis")
    found = reconstruct(model(CHOSEN), chosen.batch, one_pass(CHOSEN))
    np.testing.assert_array_equal(found.honest_BTHWC, again.made.honest_BTHWC)


def test_a_store_that_is_gone_is_told(tmp_path, video):
    chosen = settings(data={"areas": str(tmp_path / "areas")})
    drawn = reconstruct_checkpoint(checkpoint(tmp_path, chosen), [video], tmp_path / "x.png")
    (note,) = drawn.notes
    assert note.startswith("motion areas found now by dis, as")
    assert "areas: no such folder" in note


def test_wrong_checkpoints_and_videos(tmp_path, video):
    out = tmp_path / "x.png"
    with pytest.raises(CheckpointError, match="nowhere: is no checkpoint"):
        reconstruct_checkpoint(tmp_path / "nowhere", [video], out)
    good = checkpoint(tmp_path / "run", CHOSEN)
    with pytest.raises(MofoError, match=r"checkpoint\.json: "):
        reconstruct_checkpoint(good, [good / "checkpoint.json"], out)
    with pytest.raises(MofoError, match=r"no\.mp4: does not exist"):
        reconstruct_checkpoint(good, [tmp_path / "no.mp4"], out)
    with pytest.raises(SettingsError, match="clips is 0"):
        reconstruct_checkpoint(good, [video], out, clips=0)
    raw = checkpoint(tmp_path / "raw", RAW)
    with pytest.raises(SettingsError, match="nothing to leak"):
        reconstruct_checkpoint(raw, [tmp_path / "no.mp4"], out, leak=True)
    other = write_classifier(tmp_path / "other", size=64)
    with pytest.raises(CheckpointError, match="no checkpoint of a pre-training"):
        reconstruct_checkpoint(other, [video], out)
    assert not out.exists()


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available() and os.environ.get("MOFO_REQUIRE_GPU") != "1",
    reason="needs a CUDA device",
)
def test_model_on_a_gpu_and_batch_on_the_cpu(tmp_path):
    built, clips = model(CHOSEN), batch()
    here = reconstruct(built, clips, one_pass(CHOSEN), leak=True)
    built.to("cuda")
    there = write_reconstruction(built, clips, one_pass(CHOSEN), tmp_path / "x.png", leak=True)
    assert np.array_equal(here.hidden_Bthw, there.hidden_Bthw)
    difference = np.abs(here.honest_BTHWC.astype(int) - there.honest_BTHWC)
    assert difference.max() <= 2


@pytest.mark.parametrize("chosen", [CHOSEN, RAW], ids=["normalised", "raw"])
def test_a_model_that_knows_everything_shows_the_clip(chosen, monkeypatch):
    clips, built = batch(), model(chosen)
    normalised = chosen.loss.normalise
    monkeypatch.setattr(built, "decode", lambda *given: built.target(clips.frames_BTHWC, given[-1]))
    found = reconstruct(built, clips, one_pass(chosen), leak=normalised)
    shown = found.leaking_BTHWC if normalised else found.honest_BTHWC
    assert np.abs(shown.astype(int) - clips_of(found)).max() <= normalised
    np.testing.assert_allclose(found.error_B, 0, atol=1e-9)
    if normalised:  # the honest one has the right patterns with guessed mean and contrast
        assert np.abs(found.honest_BTHWC.astype(int) - clips_of(found)).mean() > 10
