"""Equal to Hugging Face's VideoMAEForVideoClassification: logits, loss, gradients.

All their parameters get random values, biases and norms too.
"""

import pytest
import torch

from helpers.older_names import older
from mofo.models.classifier import Classifier
from mofo.models.heads import label_loss
from mofo.models.model_settings import ModelSettings
from mofo.types import TokenGrid
from mofo.weights.hf_videomae import classifier_settings_from_hf, config_to_hf, from_hf
from mofo.weights.loading import WeightsError

transformers = pytest.importorskip(
    "transformers", reason="the other implementation: pip install transformers (mofo[hf])"
)

MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])
CLASSES = 11


def theirs(settings: ModelSettings):
    config = config_to_hf(settings) | {"use_mean_pooling": True, "num_labels": CLASSES}
    config = transformers.VideoMAEConfig(**config, attn_implementation="sdpa")
    model = transformers.VideoMAEForVideoClassification(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.1 if parameter.ndim < 2 else 0.04, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return model.eval()


def check(size: ModelSettings, batch: int = 2) -> None:
    other = theirs(size)
    settings = classifier_settings_from_hf(other.config.to_dict())
    assert settings.classes == {"label": CLASSES}
    model = Classifier(settings)
    model.load_state_dict(from_hf(other.state_dict(), settings))

    grid, generator = size.grid, torch.Generator().manual_seed(1)
    shape = (batch, grid.frames, grid.height, grid.width, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    pixels = ((frames / 255 - MEAN) / STD).permute(0, 1, 4, 2, 3).contiguous()
    label_B = torch.arange(batch) % CLASSES
    wanted = other(pixels, labels=label_B)
    found = model(frames)
    loss = label_loss(found, {"label": label_B})
    assert found["label"].std() > 0.1
    assert (found["label"] - wanted.logits).abs().max() <= 1e-5
    assert abs(loss.item() - wanted.loss.item()) <= 1e-5

    loss.backward()
    wanted.loss.backward()
    theirs_by_name = {name: parameter.grad for name, parameter in other.named_parameters()}
    gradients = from_hf(theirs_by_name, settings)
    for name, parameter in model.named_parameters():
        grad = gradients.pop(name)
        assert grad.abs().max() > 0, name
        assert (parameter.grad - grad).abs().max() <= 1e-4 * max(1, grad.abs().max()), name
    assert set(gradients) == {"encoder.positions.made_for"}


@pytest.mark.slow
def test_the_base_model():
    check(ModelSettings.named("base", grid=TokenGrid(8, 112, 112)), batch=1)


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_two_blocks(size):
    check(ModelSettings.named(size, grid=TokenGrid(8, 64, 96), depth=2), batch=3)


def test_the_epsilons_of_files_on_their_hub():
    check(ModelSettings.named("tiny", grid=TokenGrid(4, 32, 48), norm_eps=1e-12))


def test_names_of_older_files_and_what_cannot_be_taken_over():
    other = theirs(ModelSettings.named("nano", grid=TokenGrid(4, 32, 48)))
    config = other.config.to_dict()
    settings = classifier_settings_from_hf(config, head="action")
    state = other.state_dict()
    wanted, found = (from_hf(kind, settings) for kind in (state, older(state)))
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert set(found) == set(wanted) == set(Classifier(settings).state_dict())
    without = {name: t for name, t in state.items() if name != "fc_norm.bias"}
    with pytest.raises(WeightsError, match=r"missing: fc_norm\.bias"):
        from_hf(without, settings)
    with pytest.raises(WeightsError, match=r"unexpected: more\.weight"):
        from_hf(state | {"more.weight": torch.zeros(1)}, settings)
    several = classifier_settings_from_hf(config | {"problem_type": "multi_label_classification"})
    assert several.labels == "multi"
