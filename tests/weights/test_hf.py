"""Hugging Face's own models in, and out again, opened by them: outputs, keys, biases."""

import json

import pytest
import torch

from helpers import official
from helpers.official import clips
from mofo import cli
from mofo.masking import Mask
from mofo.models.model_settings import ModelSettings
from mofo.training.checkpoint import CheckpointError
from mofo.training.saved_models import open_autoencoder, open_classifier
from mofo.types import TokenGrid
from mofo.weights.exporting import CLOSE, export_weights
from mofo.weights.hf_videomae import config_to_hf
from mofo.weights.importing import import_weights
from mofo.weights.loading import WeightsError

transformers = pytest.importorskip(
    "transformers", reason="the other implementation: pip install transformers (mofo[hf])"
)

GRID = TokenGrid(4, 32, 32)
MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])
NAMES = [f"class {number}" for number in range(5)]


@pytest.fixture(autouse=True)
def _quiet():
    transformers.logging.set_verbosity_error()


def theirs(kind: str, settings: ModelSettings, **options):
    """Random values in every parameter."""
    config = transformers.VideoMAEConfig(**(config_to_hf(settings) | options))
    model = getattr(transformers, kind)(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.1 if parameter.ndim < 2 else 0.04
            parameter.normal_(0, spread, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return model.eval()


def classifier(settings: ModelSettings, **options):
    labels = {"id2label": dict(enumerate(NAMES)), "label2id": {n: i for i, n in enumerate(NAMES)}}
    options = {"use_mean_pooling": True} | options | labels
    return theirs("VideoMAEForVideoClassification", settings, **options)


def opened(kind: str, folder):
    """Their model from the folder; nothing may be missing or left over."""
    model, info = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


def pixels_of(frames):
    return ((frames / 255 - MEAN) / STD).permute(0, 1, 4, 2, 3).contiguous()


def some_mask(grid, batch=2):
    hidden = int(0.8 * grid.tokens)
    rank = torch.rand(batch, grid.tokens, generator=torch.Generator().manual_seed(3))
    return Mask.of(rank.argsort(1).argsort(1) < hidden)


def check_pretraining(tmp_path, size: ModelSettings, batch: int = 2, **options):
    other = theirs("VideoMAEForPreTraining", size, **options)
    other.save_pretrained(tmp_path / "theirs")
    done = import_weights(tmp_path / "theirs", tmp_path / "ours")
    assert set(done.keys.summary()) == {"matched", "re-shaped"}
    model, _ = open_autoencoder(done.path)
    grid = size.grid
    frames, mask = clips(batch, grid.frames, grid.height), some_mask(grid, batch)
    with torch.no_grad():
        wanted = other(pixels_of(frames), mask.hidden_BN).logits
        found = model(frames, mask).prediction_BMp
        exact = other.double()(pixels_of(frames.double()), mask.hidden_BN).logits
        other.float()
        exactly = model.double()(frames, mask).prediction_BMp
    del model
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)  # float32 rounds
    torch.testing.assert_close(exactly, exact, rtol=0, atol=1e-6)
    report = export_weights(done.path, tmp_path / "back")
    assert report.difference <= 1e-5
    again = opened("VideoMAEForPreTraining", tmp_path / "back")
    with torch.no_grad():
        torch.testing.assert_close(
            again(pixels_of(frames), mask.hidden_BN).logits, wanted, rtol=0, atol=1e-6
        )
    return other, again


def check_classifier(tmp_path, size: ModelSettings, batch: int = 2, **options):
    other = classifier(size, **options)
    other.save_pretrained(tmp_path / "theirs")
    done = import_weights(tmp_path / "theirs", tmp_path / "ours")
    saved = open_classifier(done.path)
    assert saved.classes == {"label": tuple(NAMES)}
    frames = clips(batch, size.grid.frames, size.grid.height)
    with torch.no_grad():
        wanted = other(pixels_of(frames)).logits
        found = saved.model(frames)["label"]
        exact = other.double()(pixels_of(frames.double())).logits
        other.float()
        exactly = saved.model.double()(frames)["label"]  # rounded to float32 at its end
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)  # float32 rounds
    torch.testing.assert_close(exactly.double(), exact, rtol=0, atol=1e-6)
    export_weights(done.path, tmp_path / "back", licence="cc-by-nc-4.0")
    again = opened("VideoMAEForVideoClassification", tmp_path / "back")
    with torch.no_grad():
        torch.testing.assert_close(again(pixels_of(frames)).logits, wanted, rtol=0, atol=1e-6)
    assert again.config.id2label == dict(enumerate(NAMES))
    return other, again


@pytest.mark.parametrize("eps", [1e-12, 1e-6])
def test_there_and_back(tmp_path, eps):
    size = ModelSettings.named("nano", grid=GRID, norm_eps=eps, head_norm_eps=1e-5)
    for number, check in enumerate((check_pretraining, check_classifier)):
        other, again = check(tmp_path / str(number), size)
        state = again.state_dict()
        assert state.keys() == other.state_dict().keys()
        assert all(torch.equal(state[name], t) for name, t in other.state_dict().items())
        biases = [n for n in state if n.endswith(("query.bias", "value.bias"))]
        assert len(biases) >= 4
        assert all(state[name].abs().max() > 0 for name in biases)


@pytest.mark.parametrize("eps", [1e-12, 1e-3])
def test_the_other_pooling(tmp_path, eps):
    """Pre-training with their default; a classifier fine-tuned from the published base model."""
    size = ModelSettings.named("nano", grid=GRID, norm_eps=eps)
    other, _ = check_pretraining(tmp_path / "0", size, use_mean_pooling=True)
    assert "videomae.layernorm.weight" not in other.state_dict()
    other, again = check_classifier(tmp_path / "1", size, use_mean_pooling=False)
    assert again.state_dict().keys() == other.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "large"])
def test_there_and_back_in_the_published_sizes(tmp_path, name):
    # All widths and heads; fewer blocks, which are all alike.
    grid = TokenGrid(16, 64, 64)
    size = ModelSettings.named(name, grid=grid, norm_eps=1e-12, depth=2, decoder_depth=1)
    check_pretraining(tmp_path / "pretraining", size, batch=1)
    check_classifier(tmp_path / "classifier", size, batch=1)


def test_the_names_of_older_files_and_other_kinds_of_files(tmp_path):
    """``q_bias`` beside the layers, ``.bin``, several files."""
    other = classifier(ModelSettings.named("nano", grid=GRID, norm_eps=1e-12))
    state = {
        name.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): tensor
        for name, tensor in other.state_dict().items()
    }
    assert sum(name.endswith("q_bias") for name in state) == 2
    wanted = None
    for kind in ("bin", "shards", "new"):
        folder = tmp_path / kind
        folder.mkdir()
        other.config.save_pretrained(folder)
        if kind == "bin":
            torch.save(state, folder / "pytorch_model.bin")
        elif kind == "shards":
            other.save_pretrained(folder, max_shard_size="100KB")
            assert len(list(folder.glob("model-*.safetensors"))) > 1
        else:
            from safetensors.torch import save_file

            save_file(other.state_dict(), folder / "model.safetensors")
        done = import_weights(folder, tmp_path / f"{kind}.ours")
        weights = open_classifier(done.path).model.state_dict()
        wanted = wanted or weights
        assert all(torch.equal(weights[name], tensor) for name, tensor in wanted.items())


def test_the_encoder_alone(tmp_path):
    """``VideoMAEModel`` has no decoder: allowed by name; exported, it opens as that again."""
    other = theirs("VideoMAEModel", ModelSettings.named("nano", grid=GRID, norm_eps=1e-12))
    other.save_pretrained(tmp_path / "theirs")
    with pytest.raises(WeightsError, match="missing: mask_token, encoder_to_decoder"):
        import_weights(tmp_path / "theirs", tmp_path / "ours")
    done = import_weights(tmp_path / "theirs", tmp_path / "ours", allow_missing=["decoder.*"])
    export_weights(done.path, tmp_path / "back")
    model, info = transformers.VideoMAEModel.from_pretrained(
        tmp_path / "back", output_loading_info=True
    )
    assert not info["missing_keys"]
    unexpected = {name.split(".")[0] for name in info["unexpected_keys"]}
    assert unexpected == {"decoder", "encoder_to_decoder", "mask_token"}
    pixels = pixels_of(clips(2, 4, 32))
    with torch.no_grad():
        found, wanted = (each.eval()(pixels).last_hidden_state for each in (model, other))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_official_weights_become_a_hugging_face_folder(tmp_path):
    """Another epsilon before the head: logits differ by little, and how much is said."""
    state = official.drawn(official.finetuned_shapes(128, 2, 5))
    torch.save({"model": state}, tmp_path / "weights.pth")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    names = tmp_path / "names.txt"
    done = import_weights(
        tmp_path / "weights.pth", tmp_path / "ours", made_for=(4, 32), classes=names
    )
    report = export_weights(done.path, tmp_path / "back", metrics={"top-1": 71.25})
    assert 0 < report.difference < CLOSE
    model = opened("VideoMAEForVideoClassification", tmp_path / "back")
    frames = clips(2, 4, 32)
    with torch.no_grad():
        found = model(pixels_of(frames)).logits
    torch.testing.assert_close(found, official.finetuned(frames, state, 2), rtol=0, atol=1e-5)
    card = (tmp_path / "back/README.md").read_text()
    assert card.startswith("---\nlicense: unknown\n")
    for text in ("5: class 0", "top-1 | 71.25", "weights.pth", "Not stated", "## Use"):
        assert text in card


def test_results_of_evaluate_come_into_the_card(tmp_path, capsys):
    done = official_checkpoint(tmp_path)
    run = tmp_path / "jump or run" / "checkpoints" / "step_00000000"
    run.parent.mkdir(parents=True)
    done.path.rename(run)
    measures = {"top1": {"mean": 0.75, "low": 0.5, "high": 1.0}}
    results = {"heads": {"label": {"measures": measures, "videos": [{"name": "a.mp4"}]}},
               "about": {"split": "test, 8 videos", "precision": "fp32"}}  # fmt: skip
    words = ["weights", "export", str(run), "--to", "hf", "--out", str(tmp_path / "back")]
    for number, (content, code) in enumerate(((results, 0), ({"heads": {"label": 3}}, 1))):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(content))
        assert cli.main([*words, "--metrics", str(path)]) == code
    assert "neither names with numbers nor the results of" in capsys.readouterr().err
    card = (tmp_path / "back/README.md").read_text()
    for text in ("# jump or run\n", "label: top1 | 0.75 [0.5, 1] |", "tested: split | test, 8 vid"):
        assert text in card
    assert "a.mp4" not in card


def test_their_preprocessing_makes_our_pixels(tmp_path):
    done = official_checkpoint(tmp_path)
    export_weights(done.path, tmp_path / "back")
    processor = transformers.VideoMAEImageProcessorPil.from_pretrained(tmp_path / "back")
    frames = clips(1, 4, 32)
    found = processor(list(frames[0].numpy()), return_tensors="pt").pixel_values
    torch.testing.assert_close(found, pixels_of(frames), rtol=0, atol=1e-5)


def official_checkpoint(tmp_path, shapes=None, **options):
    state = official.drawn(shapes or official.finetuned_shapes(64, 1, 3))
    torch.save({"model": state}, tmp_path / "weights.pth")
    return import_weights(tmp_path / "weights.pth", tmp_path / "ours", made_for=(4, 32), **options)


def test_what_has_no_counterpart(tmp_path):
    def refused(done, match, to="hf"):
        with pytest.raises(WeightsError, match=match) as error:
            export_weights(done.path, tmp_path / "back", to)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "back").exists()
        assert not list(tmp_path.glob(".back*"))

    for number, (shapes, options, match) in enumerate(
        [
            (official.mofo_shapes(96, 1, 3), {}, "'cross_attention' has no counterpart"),
            (None, {"fusion": "weighted_mean"}, "'weighted_mean' has no counterpart"),
            (None, {"frames": 8}, "2x2x2 tokens cannot be exported for 4x2x2"),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        refused(official_checkpoint(tmp_path / str(number), shapes, **options), match)
    (tmp_path / "pre").mkdir()
    pre = official_checkpoint(tmp_path / "pre", official.pretrain_shapes(64, 1, 64, 1))
    refused(pre, "takes a classifier; this is a pre-training", "onnx")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        export_weights(tmp_path / "none", tmp_path / "back")


def test_configurations_that_do_not_fit(tmp_path):
    other = classifier(ModelSettings.named("nano", grid=GRID))
    other.save_pretrained(tmp_path / "theirs")
    path = tmp_path / "theirs/config.json"
    config = json.loads(path.read_text())
    for change, match in (
        (
            {"tubelet_size": 4},
            r"patch_embeddings.projection.weight \(64x3x2x16x16, not 64x3x4x16x16",
        ),
        ({"num_hidden_layers": 3}, r"missing: videomae\.encoder\.layer\.2"),
        ({"num_hidden_layers": 1}, r"unexpected: videomae\.encoder\.layer\.1"),
        ({"use_mean_pooling": False}, r"missing: videomae\.layernorm\.weight"),
        ({"id2label": {"0": "a", "1": "b"}}, "names 2 classes, but the weights have 5"),
        ({"hidden_size": "wide"}, "config"),
        ({"image_size": [1, 2, 3]}, r"config\.json cannot be understood"),
        ({"layer_norm_eps": "small"}, r"config\.json cannot be understood"),
        ({"num_hidden_layers": 10**12}, "says 1000000000000 blocks"),
        ({"id2label": dict.fromkeys("abcde", "x")}, "a class without a number"),
    ):
        path.write_text(json.dumps(config | change))
        with pytest.raises(WeightsError, match=match):
            import_weights(tmp_path / "theirs", tmp_path / "ours")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    done = official_checkpoint(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mofo.weights.hf_folder.save_file", full)
    with pytest.raises(WeightsError, match="back: cannot be written: No space left on device"):
        export_weights(done.path, tmp_path / "back")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours", "weights.pth"]
    monkeypatch.undo()
    export_weights(done.path, tmp_path / "back")
    with pytest.raises(WeightsError, match="is there already"):
        export_weights(done.path, tmp_path / "back")
