"""Encoders of transformers behind our seam: their features, layer by layer; what is refused."""

import json

import numpy as np
import pytest
import torch
import transformers
from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

from helpers.hf_models import MEAN, MODELS, SMALL, STD, save
from helpers.official import clips
from mofo.models.encoder import make_encoder
from mofo.models.hf.family import FAMILIES
from mofo.models.hf.folder import open_hf_encoder
from mofo.types import SettingsError


@pytest.fixture(autouse=True)
def _quiet():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.mark.parametrize("model_type", MODELS)
def test_features_are_theirs_layer_by_layer(tmp_path, model_type):
    theirs = save(tmp_path, model_type)
    opened = open_hf_encoder(f"hf:{tmp_path}")
    encoder = make_encoder(opened.settings).eval()
    encoder.load_state_dict({k.removeprefix("encoder."): t for k, t in opened.weights.items()})
    family, grid = FAMILIES[model_type](encoder.family.config), opened.settings.grid
    frames = clips(2, grid.frames, grid.height)
    pixels = ((frames / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).movedim(-1, 2)
    inputs = pixels.flatten(0, 1) if family.by_frames else pixels
    options = {"skip_predictor": True} if model_type == "vjepa2" else {}
    if model_type == "siglip2_vision_model":
        patches = [convert_image_to_patches(image, grid.patch) for image in inputs.numpy()]
        inputs, shape = torch.from_numpy(np.stack(patches)), (grid.h, grid.w)
        options["pixel_attention_mask"] = torch.ones(inputs.shape[:2])
        options["spatial_shapes"] = torch.tensor([shape] * len(inputs))
    with torch.no_grad():
        output = theirs(inputs, output_hidden_states=True, **options)
        ours = encoder(frames)
        first = encoder.depth if family.pyramid else 0
        layers = encoder.layers(frames, range(first, encoder.depth + 1))
    assert ours.shape == (2, grid.tokens, opened.settings.width)
    assert encoder.depth == opened.settings.depth
    wanted = family.arrange(output.last_hidden_state, opened.settings, grid.frames)
    assert wanted.std() > 0.1
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(layers[-1], wanted, rtol=0, atol=1e-5)
    for number, layer in enumerate(layers[:-1]):
        wanted = family.arrange(output.hidden_states[number], opened.settings, grid.frames)
        torch.testing.assert_close(layer, wanted, rtol=0, atol=1e-5)
    assert family.licence in opened.note


@pytest.mark.parametrize("model_type", [name for name in MODELS if FAMILIES[name].keeps])
def test_kept_tokens_are_computed_as_if_there_were_no_others(tmp_path, model_type):
    save(tmp_path, model_type)
    opened = open_hf_encoder(f"hf:{tmp_path}")
    encoder, grid = make_encoder(opened.settings).eval(), opened.settings.grid
    frames = clips(2, grid.frames, grid.height)
    # Three of four positions of each slot, others in each clip; position 1 of the first is not.
    place_BK = torch.tensor([[0, 2, 3], [1, 2, 3]])
    keep_BV = (grid.positions * torch.arange(grid.t)[None, :, None] + place_BK[:, None]).flatten(1)
    if encoder.keeps(opened.settings) == "any":
        keep_BV = keep_BV[:, 1:]
    other = frames.clone()
    other[0, :, : grid.patch, grid.patch : 2 * grid.patch] = 255
    with torch.no_grad():
        everything = torch.arange(grid.tokens).expand(2, -1)
        torch.testing.assert_close(encoder(frames, everything), encoder(frames))
        found = encoder(frames, keep_BV)
        assert found.shape == (*keep_BV.shape, opened.settings.width)
        assert torch.equal(found, encoder(other, keep_BV))
        assert not torch.equal(encoder(frames), encoder(other))
        first, last = encoder.layers(frames, [0, encoder.depth], keep_BV)
        assert torch.equal(last, found)
        [embedded] = encoder.layers(frames, [0])
        index_BVD = keep_BV[..., None].expand(found.shape)
        torch.testing.assert_close(first, embedded.gather(1, index_BVD))


@pytest.mark.parametrize("model_type", ["timesformer", "hiera"])
def test_families_that_cannot_leave_tokens_out_say_so(tmp_path, model_type):
    save(tmp_path, model_type)
    opened = open_hf_encoder(f"hf:{tmp_path}")
    grid, encoder = opened.settings.grid, make_encoder(opened.settings)
    assert encoder.keeps(opened.settings) == "all"
    with pytest.raises(SettingsError, match="cannot leave tokens out"):
        encoder(clips(1, grid.frames, grid.height), torch.zeros(1, 1).long())


def test_models_of_frames_take_as_many_tokens_of_each(tmp_path):
    save(tmp_path, "dinov2")
    settings = open_hf_encoder(f"hf:{tmp_path}").settings
    with pytest.raises(SettingsError, match="each of 8 time slots"):
        make_encoder(settings)(clips(1, 8, 224), torch.arange(9)[None])


def test_a_scale_of_their_own(tmp_path):
    """ViViT's: pixel / 127.5 - 1, and then normalised."""
    save(tmp_path, "vivit", rescale_factor=1 / 127.5, offset=True)
    encoder = make_encoder(open_hf_encoder(f"hf:{tmp_path}").settings)
    frames = clips(1, 4, 32)
    wanted = ((frames / 127.5 - 1 - torch.tensor(MEAN)) / torch.tensor(STD)).movedim(-1, 2)
    torch.testing.assert_close(encoder.pixels(frames), wanted)
    torch.testing.assert_close(encoder.pixels(frames / 255), wanted)


def test_heads_and_text_beside_the_encoder_are_left_out(tmp_path):
    config = transformers.AutoConfig.for_model("vjepa2", **MODELS["vjepa2"], num_labels=3)
    whole = transformers.VJEPA2ForVideoClassification(config).eval()
    whole.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": MEAN, "image_std": STD})
    )
    opened = open_hf_encoder(f"hf:{tmp_path}")
    wanted = whole.vjepa2.encoder.state_dict()
    for name, tensor in wanted.items():
        assert torch.equal(opened.weights[f"encoder.model.{name}"], tensor)
    assert len(opened.weights) == len(wanted) + 2  # the scale of pixels


def test_the_vision_part_of_a_model_with_text(tmp_path):
    """SigLIP 2 of one resolution is saved as such a model."""
    text = {**SMALL, "vocab_size": 8, "projection_size": 24, "eos_token_id": 1, "bos_token_id": 2}
    config = transformers.SiglipConfig(
        vision_config=MODELS["siglip_vision_model"], text_config=text
    )
    whole = transformers.SiglipModel(config)
    whole.save_pretrained(tmp_path)
    processor = {"image_mean": MEAN, "image_std": STD}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    weights = open_hf_encoder(f"hf:{tmp_path}").weights
    wanted = whole.vision_model.state_dict()
    own = {
        name.removeprefix("encoder.model."): t for name, t in weights.items() if ".model." in name
    }
    assert own
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in own.items())


def test_rotary_positions_follow_the_size_of_clips(tmp_path):
    from dataclasses import replace

    from mofo.types import TokenGrid

    save(tmp_path, "vjepa2")
    settings = replace(open_hf_encoder(f"hf:{tmp_path}").settings, grid=TokenGrid(6, 48, 48))
    assert make_encoder(settings)(clips(1, 6, 48)).shape == (1, 27, 48)


def test_frames_of_a_tubelet_are_averaged(tmp_path):
    from dataclasses import replace

    from mofo.types import TokenGrid

    save(tmp_path, "dinov2")
    opened = open_hf_encoder(f"hf:{tmp_path}")
    frames = clips(1, 4, 42)
    alone, pairs = (
        make_encoder(replace(opened.settings, grid=TokenGrid(4, 42, 42, tubelet, 14))).eval()
        for tubelet in (1, 2)
    )
    with torch.no_grad():
        tokens, pooled = alone(frames), pairs(frames)
    torch.testing.assert_close(pooled, tokens.unflatten(1, (2, 2, 9)).mean(2).flatten(1, 2))


def test_the_global_random_state_is_left_alone(tmp_path):
    save(tmp_path, "videomae")
    before = torch.get_rng_state()
    open_hf_encoder(f"hf:{tmp_path}")
    assert torch.equal(torch.get_rng_state(), before)


def _change(folder, **content):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: _change(f, model_type="bert"), "family of encoders 'bert' is unknown"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "mean and deviation"),
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "weights cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x"), "weights cannot be read"),
        (lambda f: _change(f, hidden_size=32), "have other shapes"),
        (lambda f: _change(f, num_hidden_layers=5), "lack"),
        (lambda f: _change(f, num_frames=5), "not a multiple of tubelet"),
    ],
)
def test_mistakes_are_one_line(tmp_path, change, expected):
    save(tmp_path, "videomae")
    change(tmp_path)
    with pytest.raises(SettingsError, match=expected) as error:
        open_hf_encoder(f"hf:{tmp_path}")
    assert str(error.value).startswith(f"hf:{tmp_path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["hf:nobody/nothing", "hf:/no/such/folder", "hf:nothing"])
def test_what_is_not_there_is_one_line(name, monkeypatch):
    # Without a network the hub's client tries again for half a minute.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match="there is no such folder") as error:
        open_hf_encoder(name)
    assert "\n" not in str(error.value)


def test_clips_of_another_size_are_refused(tmp_path):
    from dataclasses import replace

    from mofo.types import TokenGrid

    save(tmp_path, "videomae")
    settings = open_hf_encoder(f"hf:{tmp_path}").settings
    for grid in (TokenGrid(8, 32, 32), TokenGrid(4, 48, 48), TokenGrid(4, 32, 32, 1, 16)):
        with pytest.raises(SettingsError, match="takes"):
            make_encoder(replace(settings, grid=grid))
