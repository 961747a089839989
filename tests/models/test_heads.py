import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.inputs import generator, randomise
from mofo.models.heads import MISSING, Heads, check_classes, label_loss
from mofo.models.layers import init_weights
from mofo.types import SettingsError

CLASSES = {"verb": 5, "noun": 7}


def features(batch: int = 4) -> Tensor:
    return torch.randn(batch, 12, generator=generator(1))


def logits(batch: int = 4) -> dict[str, Tensor]:
    heads = Heads(12, CLASSES, 1e-6)
    randomise(heads)
    return heads(features(batch))


def test_several_heads_behind_one_norm():
    heads = Heads(12, CLASSES, 1e-6)
    randomise(heads)
    found = heads(features())
    assert {name: values.shape for name, values in found.items()} == {
        "verb": (4, 5),
        "noun": (4, 7),
    }
    normed = heads.norm(features())
    for name, values in found.items():
        torch.testing.assert_close(values, heads.linear[name](normed), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(values.dtype == torch.float32 for values in heads(features()).values())


def test_all_classes_begin_as_likely():
    heads = Heads(12, CLASSES, 1e-6)
    init_weights(heads, generator())
    before = heads.linear["verb"].weight.clone()
    heads.shrink()
    torch.testing.assert_close(heads.linear["verb"].weight, before * 0.001)
    for values in heads(features()).values():
        values = values.softmax(1)
        torch.testing.assert_close(
            values, torch.full_like(values, 1 / values.shape[1]), atol=0.01, rtol=0
        )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_of_one_class_a_sample(smoothing):
    target = {"verb": torch.tensor([0, 4, 2, 2]), "noun": torch.tensor([6, 0, 1, 1])}
    wanted = sum(
        F.cross_entropy(values, target[name], label_smoothing=smoothing)
        for name, values in logits().items()
    )
    torch.testing.assert_close(label_loss(logits(), target, smoothing=smoothing), wanted)
    shares = {name: F.one_hot(target[name], count).float() for name, count in CLASSES.items()}
    torch.testing.assert_close(label_loss(logits(), shares, smoothing=smoothing), wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_samples_without_a_label_do_not_count(smoothing):
    values = {"verb": logits()["verb"]}
    some = {"verb": torch.tensor([0, MISSING, 2, MISSING])}
    wanted = F.cross_entropy(
        values["verb"][[0, 2]], torch.tensor([0, 2]), label_smoothing=smoothing
    )
    torch.testing.assert_close(label_loss(values, some, smoothing=smoothing), wanted)
    shares = {"verb": torch.zeros(4, 5)}
    shares["verb"][0, 0] = shares["verb"][2, 2] = 1
    torch.testing.assert_close(label_loss(values, shares, smoothing=smoothing), wanted)
    multi = {"verb": torch.tensor([1.0, 0, 0, 1, 0]).repeat(4, 1)}
    multi["verb"][1] = multi["verb"][3] = -1
    smooth = multi["verb"][[0, 2]] * (1 - smoothing) + smoothing / 2
    wanted = F.binary_cross_entropy_with_logits(values["verb"][[0, 2]], smooth)
    torch.testing.assert_close(label_loss(values, multi, "multi", smoothing), wanted)


@pytest.mark.parametrize(
    ("target", "labels"),
    [
        (torch.full((4,), MISSING), "single"),
        (torch.zeros(4, 5), "single"),
        (torch.full((4, 5), -1.0), "multi"),
    ],
)
def test_no_label_at_all_is_no_loss(target, labels):
    values = logits()["verb"].detach().requires_grad_()
    loss = label_loss({"verb": values}, {"verb": target}, labels)
    loss.backward()
    assert loss == 0
    assert torch.equal(values.grad, torch.zeros(4, 5))


def test_labels_of_other_heads():
    with pytest.raises(
        SettingsError, match="labels are for action, but the model's heads are noun"
    ):
        label_loss(logits(), {"action": torch.zeros(4)})


def test_names_and_numbers_of_classes():
    assert check_classes(CLASSES, "single") == []
    assert check_classes({"tag": 1}, "multi") == []
    for classes, labels, text in (
        ({}, "single", "classes is empty"),
        ({"tag": 1}, "single", "2 is the least"),
        ({"tag": True}, "multi", "has True classes"),
        ({"a.b": 3}, "single", "cannot be a name"),
        ({"items": 3}, "single", "cannot be a name"),
        (CLASSES, "both", "'both' is unknown: choose from single, multi"),
    ):
        (problem,) = check_classes(classes, labels)
        assert text in problem
