from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.classifiers import write_classifier
from helpers.shown import batch, frames_of, read_png
from mofo.cli import main
from mofo.report.figures.attention import attention_of
from mofo.training.saved_models import open_classifier
from mofo.types import SettingsError


def saved(tmp_path, **options):
    return open_classifier(write_classifier(tmp_path, size=64, **options))


def test_attention_is_what_the_tokens_inside_look_at(tmp_path):
    model, clips = saved(tmp_path), batch()
    found = attention_of(model, clips)
    with torch.no_grad():
        inside_BN = model.model.motion(clips)
        logits, weight = model.model(clips.frames_BTHWC, inside_BN, return_attention=True)
    inside_N = inside_BN[0].numpy()
    assert 0 < inside_N.sum() < inside_N.size
    by_hand = weight[0].numpy()[:, inside_N].mean((0, 1))
    np.testing.assert_allclose(found.attention_thw.ravel(), by_hand, atol=1e-6)
    assert found.attention_thw.sum() == pytest.approx(1, abs=1e-4)
    assert found.attention_thw.ravel()[inside_N].max() == 0
    share_C = logits["label"][0].softmax(0)
    assert found.name == model.classes["label"][int(share_C.argmax())]
    assert found.probability == pytest.approx(float(share_C.max()), abs=1e-5)


@pytest.mark.parametrize("fusion", ["mean", "weighted_mean", "attentive", "cross_attention"])
def test_relevance_tells_what_the_logit_hangs_on(tmp_path, fusion):
    """To first order, taking a bit off a token changes the logit by its relevance."""
    model, clips = saved(tmp_path, fusion=fusion), batch()
    found = attention_of(model, clips, "drop")
    number = model.classes["label"].index("drop")
    inside_BN = model.model.motion(clips)[:1]
    with torch.no_grad():
        tokens_BND = model.model.encoder(clips.frames_BTHWC[:1]).double()
    double = model.model.double()

    def logit(tokens):
        with torch.no_grad():
            normed = double.head.norm(double.fuse(tokens, inside_BN))
            return float(double.head.linear["label"](normed)[0, number])

    whole = logit(tokens_BND)
    for token in np.argsort(found.relevance_thw.ravel())[[0, -1, -2]]:
        less_BND = tokens_BND.clone()
        less_BND[0, token] *= 1 - 1e-4
        change = (whole - logit(less_BND)) / 1e-4
        wanted = found.relevance_thw.ravel()[token]
        assert max(change, 0) == pytest.approx(wanted, rel=0.02, abs=1e-3)


def test_nothing_moves(tmp_path):
    clips = batch()
    clips.valid_BT[:] = False
    found = attention_of(saved(tmp_path), clips)
    assert not found.inside_thw.any()
    assert not found.attention_thw.any()
    assert np.isfinite(found.relevance_thw).all()


def test_the_command_draws(tmp_path, video, capsys):
    run = write_classifier(tmp_path / "run", size=64)
    for name in ("a.png", "b.mp4"):
        assert (
            main(
                [
                    "show",
                    "attention",
                    "--encoder",
                    str(run),
                    str(video),
                    "--out",
                    str(tmp_path / name),
                ]
            )
            == 0
        )
        assert str(tmp_path / name) in capsys.readouterr().out
    picture = read_png(tmp_path / "a.png")
    coloured = (picture.max(2).astype(int) - picture.min(2)) > 60
    assert coloured.mean() > 0.005  # heat, and the area's box
    assert len(frames_of(tmp_path / "b.mp4")) == 4


def test_mistakes(tmp_path, video, capsys):
    run = write_classifier(tmp_path / "run", size=64)
    with pytest.raises(SettingsError, match="'fly' is none of the model's"):
        attention_of(open_classifier(run), batch(), "fly")
    for words, text in (
        ([str(video), "--out", "a.gif"], "must end in .png"),
        (["none.mp4"], "does not exist"),
        ([str(video), "--areas", "truth"], "needs a store"),
        ([str(video), "--areas", "shuffled"], "2 or more videos"),
    ):
        assert main(["show", "attention", "--encoder", str(run), *words]) in (1, 2)
        err = capsys.readouterr().err
        assert text in err
        assert len(err.strip().splitlines()) == 1
