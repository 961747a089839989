import dataclasses

import pytest

from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import SIZES, ModelSettings
from mofo.types import SettingsError, TokenGrid


@pytest.mark.parametrize("size", SIZES)
def test_named_sizes_hold(size):
    settings = ModelSettings.named(size)
    assert settings.grid == TokenGrid(16, 224, 224)
    assert settings.token_pixels == 1536


def test_options_go_on_top_of_a_named_size():
    settings = ModelSettings.named("small", drop_path=0.1, decoder_depth=2)
    assert (settings.width, settings.drop_path, settings.decoder_depth) == (384, 0.1, 2)
    assert ModelSettings() == ModelSettings.named("base")


def test_vit_b_has_the_published_number_of_parameters():
    model = MaskedAutoencoder(ModelSettings.named("base"))
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(
        94.2, abs=0.05
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 100, "heads": 3}, ["width 100 is not a multiple of heads 3"]),
        ({"depth": 0, "drop_path": 1.0}, ["depth 0", "drop_path 1.0 is not in [0, 1)"]),
        ({"decoder_width": 1.5}, ["decoder_width 1.5 is not a whole number"]),
        ({"norm_eps": 0.0}, ["norm_eps 0.0 is not in (0, 0.1)"]),
        ({"decoder_width": 50, "heads": 5}, ["decoder_width 50", "width 768"]),
    ],
)
def test_all_that_is_wrong_is_said_in_one_line(options, words):
    with pytest.raises(SettingsError) as error:
        ModelSettings(**options)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_an_unknown_size_offers_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'small'"):
        ModelSettings.named("smal")


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelSettings().width = 5
