"""VideoMAE's and MOFO's own files, against an implementation of the paper in official.py."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers import official
from mofo.masking import Mask
from mofo.training.saved_models import (
    encoder_weights,
    open_autoencoder,
    open_classifier,
)
from mofo.weights.exporting import export_weights
from mofo.weights.importing import import_weights, inspect_weights
from mofo.weights.loading import WeightsError

SMALL = (128, 3, 64, 2)  # widths and depths of encoder and decoder: heads are 64 wide
CLIP = (4, 32)
MADE_FOR = {"made_for": CLIP}


def saved(tmp_path, state, around=None, name="weights.pth"):
    path = tmp_path / name
    torch.save({"model": state} | (around or {}), path)
    return path


def taken(tmp_path, shapes, seed=0, around=None, **options):
    state = official.drawn(shapes, seed)
    path = saved(tmp_path, state, around)
    return state, import_weights(path, tmp_path / "out", **({**MADE_FOR} | options))


def tube_mask(batch, tokens, hidden):
    generator = torch.Generator().manual_seed(5)
    rank = torch.rand(batch, tokens, generator=generator).argsort(1).argsort(1)
    return rank < hidden


def test_pretraining(tmp_path):
    state, done = taken(tmp_path, official.pretrain_shapes(*SMALL))
    assert done.kind == "pretrain"
    assert done.layout == "VideoMAE"
    assert set(done.keys.summary()) == {"matched", "re-shaped"}
    model, opened = open_autoencoder(done.path)
    assert (done.path / "model.safetensors").is_file()
    frames, mask = official.clips(2, *CLIP), tube_mask(2, 8, 6)
    with torch.no_grad():
        found = model(frames, Mask.of(mask)).prediction_BMp
        wanted = official.pretrained(frames, mask, state, 2, 1)
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert opened.metadata.model["width"] == SMALL[0]
    assert opened.metadata.settings["data"]["frames"] == 4


@pytest.mark.parametrize("size", ["small", "base"])
def test_sizes_are_worked_out(tmp_path, size):
    """Published sizes, with blocks left out to be quick."""
    width, inner = {"small": (384, 192), "base": (768, 384)}[size]
    shapes = official.pretrain_shapes(width, 1, inner, 1)
    _, done = taken(tmp_path, shapes, made_for=None)
    found = done.model
    assert (found.width, found.depth, found.heads) == (width, 1, width // 64)
    assert (found.decoder_width, found.decoder_heads) == (inner, inner // 64)
    assert (found.grid.frames, found.grid.height, found.grid.tubelet) == (16, 224, 2)


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [("model", ""), ("module", ""), ("state_dict", "module."), ("model", "backbone."),
     ("model", "encoder."), ("module", "module.backbone."), (None, "")],
)  # fmt: skip
def test_classifier_under_all_prefixes(tmp_path, wrapper, prefix):
    state = official.drawn(official.finetuned_shapes(128, 2, 5))
    bare = ("head", "fc_norm") if prefix == "encoder." else ()
    named = {k if k.startswith(bare or "-") else prefix + k: t for k, t in state.items()}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: named, "epoch": 3} if wrapper else named, path)
    done = import_weights(path, tmp_path / "out", **MADE_FOR)
    assert set(done.keys.summary()) == {"matched", "re-shaped"}
    opened = open_classifier(done.path)
    assert opened.classes == {"label": ("0", "1", "2", "3", "4")}
    assert opened.settings.fusion == "mean"
    frames = official.clips(3, *CLIP)
    with torch.no_grad():
        found = opened.model(frames)["label"]
    torch.testing.assert_close(found, official.finetuned(frames, state, 2), rtol=0, atol=1e-5)


def test_mofo_release(tmp_path):
    # Heads of the block are three: the width is a multiple of three.
    state, done = taken(tmp_path, official.mofo_shapes(192, 2, 7))
    assert done.layout == "MOFO release"
    assert set(done.keys.summary()) == {"not needed", "matched", "re-shaped"}
    unused = {row.theirs[0].split(".")[0] for row in done.keys.rows if row.status == "not needed"}
    assert unused == {"global_MCA", "soft_att_local", "soft_att_global", "patch_yab"}
    opened = open_classifier(done.path)
    assert opened.settings.fusion == "cross_attention"
    assert opened.settings.area_span == "tubelet"  # of its own two frames
    frames = official.clips(3, *CLIP)
    inside = tube_mask(3, 8, 3)
    inside[1], inside[2] = False, True
    with torch.no_grad():
        found = opened.model(frames, inside)["label"]
    torch.testing.assert_close(found, official.mofo(frames, inside, state, 3), rtol=0, atol=1e-5)


def test_mofo_release_with_other_fusions(tmp_path):
    shapes = official.mofo_shapes(192, 1, 3)
    fresh = official.drawn(shapes)
    for name in fresh:
        if name.startswith("local_MCA") and fresh[name].ndim == 1:
            fresh[name].fill_(float("norm" in name and "weight" in name))
    with pytest.raises(WeightsError, match=r"local_MCA\.0 is as it was drawn.*--fusion"):
        import_weights(saved(tmp_path, fresh), tmp_path / "out", **MADE_FOR)
    for number, (method, fusion, option) in enumerate(
        [("weighted_mean", "weighted_mean", "fusing_mode"), ("org", "mean", "fusing_method")]
    ):
        args = argparse.Namespace(**{option: method}, num_frames=4, input_size=32)
        path = saved(tmp_path, fresh, {"args": args})
        done = import_weights(path, tmp_path / f"out{number}")
        assert open_classifier(done.path).settings.fusion == fusion
    args.fusing_mode = "soft_attn"
    with pytest.raises(WeightsError, match="'soft_attn', which is not among ours"):
        import_weights(saved(tmp_path, fresh, {"args": args}), tmp_path / "out")
    done = import_weights(saved(tmp_path, fresh), tmp_path / "said", fusion="mean", **MADE_FOR)
    assert open_classifier(done.path).settings.fusion == "mean"


def test_options_that_the_program_kept_are_believed(tmp_path):
    args = argparse.Namespace(num_frames=4, input_size=48, data_set="SSV2", sampling_rate=3)
    _, done = taken(
        tmp_path, official.finetuned_shapes(64, 1, 2), around={"args": args}, made_for=None
    )
    assert (done.model.grid.frames, done.model.grid.height) == (4, 48)
    sampling = open_classifier(done.path).sampling
    assert (sampling.sampling, sampling.stride) == ("segments", 3)


def test_segments_count_as_frames(tmp_path):
    args = argparse.Namespace(num_frames=2, num_segments=2, input_size=32)
    _, done = taken(
        tmp_path, official.finetuned_shapes(64, 1, 2), around={"args": args}, made_for=None
    )
    assert (done.model.grid.frames, done.model.grid.height) == (4, 32)


@pytest.mark.parametrize("kind", ["pretrain", "finetuned"])
def test_out_again_with_their_names(tmp_path, kind):
    shapes = (
        official.pretrain_shapes(*SMALL)
        if kind == "pretrain"
        else official.finetuned_shapes(128, 2, 5)
    )
    state, done = taken(tmp_path, shapes)
    export_weights(done.path, tmp_path / "back.pth", "pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)["model"]
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())


def test_folders_of_deepspeed(tmp_path):
    """The official scripts' default: options, NumPy scalars and paths beside the weights."""
    state = official.drawn(official.finetuned_shapes(64, 1, 2))
    folder = tmp_path / "checkpoint-best"
    folder.mkdir()
    content = {
        "module": state,
        "best": np.float64(0.5),
        "step": np.int64(7),
        "args": argparse.Namespace(num_frames=4, input_size=32, output_dir=Path("runs/x")),
        "lr": [np.float32(1e-3)],
    }
    torch.save(content, folder / "mp_rank_00_model_states.pt")
    assert inspect_weights(folder).problems == ()
    done = import_weights(folder, tmp_path / "out")
    assert set(done.keys.summary()) == {"matched", "re-shaped"}
    assert (done.model.grid.frames, done.model.grid.height) == (4, 32)


def test_version_two_as_on_its_hub(tmp_path):
    """No head; its norm is that of the mean over tokens; sizes are in ``model_config``."""
    shapes = official.finetuned_shapes(128, 2, 5)
    state = {k: t for k, t in official.drawn(shapes).items() if not k.startswith("head.")}
    folder = tmp_path / "v2"
    folder.mkdir()
    save_file({f"model.{name}": t for name, t in state.items()}, folder / "model.safetensors")
    sizes = {"img_size": 32, "num_frames": 4, "num_heads": 4, "tubelet_size": 2, "num_classes": 0}
    config = {"model_type": "VideoMAEv2_Base", "model_config": sizes}
    (folder / "config.json").write_text(json.dumps(config))
    done = import_weights(folder, tmp_path / "out")
    assert done.kind == "pretrain"
    assert done.model.heads == 4
    assert done.keys.count("not needed") == 2
    assert "begin at random" in done.notes[0]
    frames = official.clips(2, *CLIP)
    model, _ = open_autoencoder(done.path)
    with torch.no_grad():
        found = model.encoder(frames)
    torch.testing.assert_close(found, official.encoded(frames, state, 4), rtol=0, atol=1e-5)


def test_each_wrong_tensor_is_refused_by_name(tmp_path):
    state = official.drawn(official.pretrain_shapes(*SMALL))

    def refused(changed, match, **options):
        with pytest.raises(WeightsError, match=match) as error:
            import_weights(saved(tmp_path, changed), tmp_path / "out", **(MADE_FOR | options))
        assert "\n" not in str(error.value)
        assert not (tmp_path / "out").exists()
        return error.value.report

    def without(name):
        return {k: t for k, t in state.items() if k != name}

    norm = "encoder.blocks.1.norm1.weight"
    renamed = without(norm) | {"encoder.blocks.1.norm_1.weight": state[norm]}
    report = refused(renamed, rf"missing: {norm}; unexpected: encoder\.blocks\.1\.norm_1\.weight")
    assert report.count("missing") == report.count("unexpected") == 1
    assert "norm_1.weight" in report.table()
    assert json.loads(json.dumps(report.to_dict()))["summary"]["missing"] == 1
    refused(without("decoder.blocks.0.attn.q_bias"), r"missing: decoder\.blocks\.0\.attn\.q_bias")
    refused(
        state | {"mask_token": torch.zeros(1, 1, 9)}, r"other shape: mask_token \(1x1x9, not 1x1x64"
    )
    refused(state, "tubelet is 2, not 4", tubelet=4)
    refused(state, "patch is 16, not 14", patch=14)
    refused(state, "width is 128, not 768 as in 'base'", model_size="base")
    refused(state, "model size 'bsae' is unknown", model_size="bsae")
    refused(state, "frames 5 is not a multiple of tubelet 2", frames=5)
    refused(state, "width 128 is not a multiple of heads 3", heads=3)
    wide = state | {"encoder.blocks.0.mlp.fc1.weight": torch.zeros(500, 128)}
    refused(wide, "an MLP of 500 instead of 4 x 128")
    refused(state | {"encoder.blocks.0.gamma_1": torch.zeros(128)}, "gamma_1")
    refused(state | {"encoder.blocks.0.attn.scale": torch.zeros(2, 1, 1)}, "attention by cosine")
    refused({"a": torch.zeros(1)}, "no patch_embed.proj.weight")


def test_what_is_allowed_by_name(tmp_path):
    state = official.drawn(official.pretrain_shapes(*SMALL))
    encoder = {k: t for k, t in state.items() if k.startswith("encoder.")}
    path = saved(tmp_path, encoder | {"teacher.weight": torch.zeros(2)})
    with pytest.raises(WeightsError, match=r"missing: .* and .* more; unexpected: teacher\.weight"):
        import_weights(path, tmp_path / "out", **MADE_FOR)
    allowed = {"allow_missing": ["decoder.*"], "allow_unexpected": ["teacher.*"]}
    done = import_weights(path, tmp_path / "out", **MADE_FOR, **allowed)
    assert "begin at random" in done.notes[0]
    model, opened = open_autoencoder(done.path)
    assert torch.equal(
        model.state_dict()["encoder.blocks.2.attention.q_bias"],
        state["encoder.blocks.2.attn.q_bias"],
    )
    assert model.decoder.head.weight.std() > 0
    assert opened.metadata.imported["keys"]["missing, allowed"] > 10


def test_positions_for_other_clips(tmp_path):
    """As ours do it when weights of one grid are loaded into a model of another."""
    _, done = taken(tmp_path, official.pretrain_shapes(*SMALL), frames=8, size=48)
    assert "4x32x32 to 8x48x48" in done.notes[0]
    model, _ = open_autoencoder(done.path)
    assert model.encoder.positions.made_for.tolist() == [2, 2, 2]
    table = official.positions(8, 128).T.reshape(1, 128, 2, 2, 2)
    wanted = torch.nn.functional.interpolate(table, (4, 3, 3), mode="trilinear")
    found = model.encoder.positions.table_ND
    torch.testing.assert_close(found, wanted.flatten(2)[0].T, rtol=0, atol=1e-6)


def test_position_tables_in_the_file(tmp_path):
    state = official.drawn(official.pretrain_shapes(*SMALL))
    known = {"encoder.pos_embed": official.positions(8, 128)[None]}
    done = import_weights(saved(tmp_path, state | known), tmp_path / "out", **MADE_FOR)
    assert done.keys.count("not needed") == 1
    learned = {"encoder.pos_embed": torch.randn(1, 8, 128)}
    with pytest.raises(WeightsError, match=r"unexpected: encoder\.pos_embed"):
        import_weights(saved(tmp_path, state | learned), tmp_path / "out2", **MADE_FOR)
    with pytest.raises(WeightsError, match="for 8 tokens, but 16 frames of 224 pixels have 1568"):
        import_weights(saved(tmp_path, state | known), tmp_path / "out2")


def test_fine_tuning_begins_with_them(tmp_path):
    state, done = taken(tmp_path, official.pretrain_shapes(*SMALL))
    from mofo.models.classifier import Classifier, ClassifierSettings, load_encoder

    _, settings, weights, *_ = encoder_weights(done.path)
    model = Classifier(ClassifierSettings(classes={"label": 3}, model=settings, fusion="mean"))
    assert "tensors of the encoder loaded" in str(load_encoder(model, weights, "done"))
    found = model.encoder.blocks[0].attention.q_bias
    assert torch.equal(found, state["encoder.blocks.0.attn.q_bias"])


def test_half_precision_comes_in_as_float32(tmp_path):
    state = official.drawn(official.finetuned_shapes(64, 1, 2))
    path = saved(tmp_path, {name: tensor.half() for name, tensor in state.items()})
    done = import_weights(path, tmp_path / "out", **MADE_FOR)
    assert {p.dtype for p in open_classifier(done.path).model.parameters()} == {torch.float32}
