"""Equal to Hugging Face's VideoMAEForPreTraining: prediction, loss, and the gradient of everything.

All their parameters get random values, biases and norms too, so that nothing hides behind a zero
or a one. One test is of a whole model; the others have fewer blocks.
"""

import pytest
import torch

from helpers.older_names import older
from mofo.masking import Mask
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.types import SettingsError, TokenGrid
from mofo.weights.hf_videomae import config_to_hf, from_hf, settings_from_hf, to_hf
from mofo.weights.loading import WeightsError

transformers = pytest.importorskip(
    "transformers", reason="the other implementation: pip install transformers (mofo[hf])"
)

MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])


def theirs(settings: ModelSettings):
    config = transformers.VideoMAEConfig(**config_to_hf(settings), attn_implementation="sdpa")
    model = transformers.VideoMAEForPreTraining(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.1 if parameter.ndim < 2 else 0.04
            parameter.normal_(0, spread, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return model


def inputs(grid: TokenGrid, batch: int):
    """Bytes, the same as their normalised pixels, a tube mask."""
    generator = torch.Generator().manual_seed(1)
    size = (batch, grid.frames, grid.height, grid.width, 3)
    frames = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
    rank_BP = torch.rand(batch, grid.positions, generator=generator).argsort(1).argsort(1)
    hidden = int(0.9 * grid.positions)
    mask_BN = (rank_BP < hidden)[:, None].expand(-1, grid.t, -1).flatten(1)
    pixels_BTCHW = ((frames / 255 - MEAN) / STD).permute(0, 1, 4, 2, 3).contiguous()
    return frames, pixels_BTCHW, Mask.of(mask_BN)


def ours_from(other, settings: ModelSettings) -> MaskedAutoencoder:
    model = MaskedAutoencoder(settings)
    model.load_state_dict(from_hf(other.state_dict(), settings))
    return model


def check(settings: ModelSettings, *, batch: int = 2) -> None:
    other = theirs(settings)
    settings = settings_from_hf(other.config.to_dict())
    model = ours_from(other, settings)
    frames, pixels, mask = inputs(settings.grid, batch)
    wanted = other(pixels, mask.hidden_BN)
    found = model(frames, mask)
    assert found.prediction_BMp.std() > 0.1
    assert (found.prediction_BMp - wanted.logits).abs().max() <= 1e-5
    assert abs(found.loss.item() - wanted.loss.item()) <= 1e-5

    wanted.loss.backward()
    found.loss.backward()
    gradients = from_hf({name: p.grad for name, p in other.named_parameters()}, settings)
    compared = 0
    for name, parameter in model.named_parameters():
        grad, wanted_grad = parameter.grad, gradients.pop(name)
        assert wanted_grad.abs().max() > 0, name
        assert (grad - wanted_grad).abs().max() <= 1e-4 * wanted_grad.abs().max(), name
        assert (grad - wanted_grad).abs().max() <= 1e-4, name
        compared += parameter.numel()
    assert set(gradients) == {"encoder.positions.made_for", "decoder.positions.made_for"}
    assert compared == sum(p.numel() for p in other.parameters())


def test_a_whole_model_is_equal():
    check(ModelSettings.named("small", grid=TokenGrid(8, 112, 112)), batch=1)


@pytest.mark.parametrize(
    ("size", "frames"),
    [("small", 8), ("small", 16), pytest.param("base", 8, marks=pytest.mark.slow)],
)
def test_frames_and_sizes_with_two_blocks(size, frames):
    grid = TokenGrid(frames, 224, 224)
    check(ModelSettings.named(size, grid=grid, depth=2, decoder_depth=1))


def test_a_frame_that_is_no_square_and_pixels_that_are_not_normalised():
    grid = TokenGrid(8, 64, 96)
    check(ModelSettings.named("nano", grid=grid, normalise_target=False))
    check(ModelSettings.named("tiny", grid=grid))


def test_the_epsilons_of_files_on_their_hub():
    settings = ModelSettings.named("tiny", grid=TokenGrid(8, 64, 96), norm_eps=1e-12)
    assert theirs(settings).config.layer_norm_eps == 1e-12
    check(settings)


def test_there_and_back():
    settings = ModelSettings.named("nano", grid=TokenGrid(4, 32, 48))
    other = theirs(settings)
    state = other.state_dict()
    back = to_hf(from_hf(state, settings), settings)
    assert set(back) == set(state)
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())
    other.load_state_dict(back)
    found = settings_from_hf(other.config.to_dict(), drop_path=0.1)
    assert found == ModelSettings.named(
        "nano", grid=settings.grid, drop_path=0.1, head_norm_eps=1e-5
    )


def test_names_of_older_files():
    settings = ModelSettings.named("nano", grid=TokenGrid(4, 32, 48))
    state = theirs(settings).state_dict()
    assert set(older(state)) != set(state)
    wanted, found = from_hf(state, settings), from_hf(older(state), settings)
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_weights_for_another_number_of_frames():
    """They belong to 16 frames; our model of 8 frames knows from them where it stands."""
    grid = TokenGrid(16, 32, 32)
    other = theirs(ModelSettings.named("nano", grid=grid))
    state = from_hf(other.state_dict(), settings_from_hf(other.config.to_dict()))
    shorter = MaskedAutoencoder(ModelSettings.named("nano", grid=TokenGrid(8, 32, 32)))
    shorter.load_state_dict(state)
    whole = MaskedAutoencoder(ModelSettings.named("nano", grid=grid)).encoder.positions.table_ND
    middle = whole.unflatten(0, (8, 4)).unflatten(0, (4, 2)).mean(1).flatten(0, 1)
    torch.testing.assert_close(shorter.encoder.positions.table_ND, middle, rtol=0, atol=1e-6)
    with pytest.raises(SettingsError, match="8x2x2 tokens cannot be exported for 4x2x2"):
        to_hf(shorter.state_dict(), shorter.settings)


def test_what_cannot_be_taken_over_is_said_in_one_line():
    settings = ModelSettings.named("nano", grid=TokenGrid(4, 32, 48))
    state = theirs(settings).state_dict()
    with pytest.raises(WeightsError, match=r"missing: videomae\.encoder\.layer\.2\."):
        from_hf(state, ModelSettings.named("nano", grid=settings.grid, depth=3))
    with pytest.raises(WeightsError, match="unexpected: classifier"):
        from_hf(state | {"classifier.weight": torch.zeros(1)}, settings)
    config = config_to_hf(settings)
    with pytest.raises(SettingsError) as error:
        settings_from_hf(config | {"intermediate_size": 100, "qv_bias": False})
    assert "intermediate_size is 100, only 256" in str(error.value)
    assert "qv_bias" in str(error.value)
    assert "\n" not in str(error.value)
