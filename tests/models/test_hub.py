"""Models in folders and on the Hub: saved and loaded they are the same."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.classifiers import settings as classifier_settings
from mofo.models.classifier import Classifier
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.types import MofoError, TokenGrid

MODELS = {
    "MaskedAutoencoder": lambda generator: MaskedAutoencoder(
        ModelSettings.named("nano", grid=TokenGrid(4, 32, 32)), generator=generator
    ),
    "Classifier": lambda generator: Classifier(classifier_settings(), generator=generator),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param](torch.Generator().manual_seed(3))


def test_saved_and_loaded_it_is_the_same(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors"} <= names
    again = type(model).from_pretrained(tmp_path / "model")
    assert again.settings == model.settings
    assert not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_what_does_not_fit_is_one_line(model, tmp_path):
    folder = tmp_path / "model"
    model.save_pretrained(folder)

    def refused(kind, part):
        with pytest.raises(MofoError, match=part) as caught:
            kind.from_pretrained(folder)
        assert "\n" not in str(caught.value)

    other = Classifier if isinstance(model, MaskedAutoencoder) else MaskedAutoencoder
    refused(other, f"holds a {type(model).__name__}|none of mofo's|unknown key")
    weights = load_file(folder / "model.safetensors")
    weights.popitem()
    save_file(weights, folder / "model.safetensors")
    refused(type(model), "does not fit")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"settings": []}))
    refused(type(model), "none of mofo's")
