import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

from helpers.kinds import built_in
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.fusion import FUSIONS
from mofo.models.model_settings import ModelSettings
from mofo.training.optim import freeze, set_rate
from mofo.training.optim import layer_groups as groups_of
from mofo.types import SettingsError, TokenGrid

FUSION_NAMES = built_in(FUSIONS)

GRID = TokenGrid(2, 32, 32)


def classifier(fusion: str = "attentive", depth: int = 3, drop_path: float = 0.0) -> Classifier:
    model = ModelSettings.named("nano", grid=GRID, depth=depth, drop_path=drop_path)
    return Classifier(ClassifierSettings(classes={"label": 4}, model=model, fusion=fusion))


def clip(batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    size = (batch, GRID.frames, GRID.height, GRID.width, 3)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)


def layer_groups(model: Classifier, **options):
    return groups_of(model, layers=model.layer_names(), **options)


def by_name(groups, key: str) -> dict[str, float]:
    return {name: group[key] for group in groups for name in group["names"]}


@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_scale_of_each_parameter(fusion):
    built = classifier(fusion)
    scales = by_name(layer_groups(built), "scale")
    assert set(scales) == {name for name, _ in built.named_parameters()}
    for name, scale in scales.items():
        wanted = {
            "encoder.embed.proj.weight": 0.75**4,
            "encoder.embed.proj.bias": 0.75**4,
            "encoder.blocks.0": 0.75**3,
            "encoder.blocks.1": 0.75**2,
            "encoder.blocks.2": 0.75,
            "head": 1,
            "fusion": 1,
        }
        (own,) = (value for start, value in wanted.items() if name.startswith(start))
        assert scale == own, name


def test_layers_of_deep_encoders():
    scales = by_name(layer_groups(classifier(depth=12)), "scale")
    assert scales["encoder.embed.proj.weight"] == pytest.approx(0.75**13)
    assert scales["encoder.blocks.0.attention.qkv.weight"] == pytest.approx(0.75**12)
    assert scales["encoder.blocks.11.attention.qkv.weight"] == 0.75


def test_vectors_do_not_decay():
    built = classifier()
    decays = by_name(layer_groups(built, weight_decay=0.1), "weight_decay")
    for name, parameter in built.named_parameters():
        assert decays[name] == (0.1 if parameter.ndim > 1 else 0), name
    assert decays["fusion.query_D"] == decays["head.norm.weight"] == 0


def test_every_parameter_is_in_one_group():
    built = classifier("cross_attention")
    groups = layer_groups(built)
    own = dict(built.named_parameters())
    assert len({id(p) for group in groups for p in group["params"]}) == len(own)
    for group in groups:
        named = zip(group["names"], group["params"], strict=True)
        assert all(own[name] is parameter for name, parameter in named)
    assert sum(len(group["params"]) for group in groups) == len(own)
    scales = [group["scale"] for group in groups]
    assert scales == sorted(scales)


def test_rates_follow_the_scale():
    built = classifier()
    optimiser = torch.optim.AdamW(layer_groups(built), lr=0.0)
    set_rate(optimiser, 0.01)
    rates = by_name(optimiser.param_groups, "lr")
    assert rates["head.linear.label.weight"] == 0.01
    assert rates["encoder.blocks.2.mlp.fc1.bias"] == pytest.approx(0.0075)
    assert rates["encoder.embed.proj.weight"] == pytest.approx(0.01 * 0.75**4)
    # Setting it again starts from the rate, not from what was set before.
    set_rate(optimiser, 0.01)
    assert by_name(optimiser.param_groups, "lr") == rates
    # How far a first step goes shows the rate: AdamW's is its sign times the rate.
    before = {name: p.detach().clone() for name, p in built.named_parameters()}
    frames = clip(2)
    built(frames)["label"].square().sum().backward()
    optimiser.step()
    for name in (
        "encoder.embed.proj.bias",
        "encoder.blocks.2.mlp.fc2.bias",
        "head.linear.label.bias",
    ):
        step = (built.get_parameter(name) - before[name]).abs().max()
        assert step.item() == pytest.approx(rates[name], rel=0.01), name


def test_state_of_the_optimiser_by_name():
    """As checkpoints want it; the groups' extra keys are no hindrance."""
    built = classifier()
    optimiser = torch.optim.AdamW(layer_groups(built), lr=0.0)
    built(clip(1))["label"].sum().backward()
    optimiser.step()
    state = get_optimizer_state_dict(built, optimiser)["state"]
    assert set(state) == {name for name, _ in built.named_parameters()}


@pytest.mark.parametrize("decay", [0.0, 1.5, -1])
def test_impossible_decay(decay):
    with pytest.raises(SettingsError, match="layer decay"):
        layer_groups(classifier(), decay=decay)
    with pytest.raises(SettingsError, match="weight decay -1 is below 0"):
        layer_groups(classifier(), weight_decay=-1)


@pytest.mark.parametrize("what", ["encoder", 0, 1, "2", 3])
def test_freezing(what):
    built = classifier()
    count = freeze(built, what)
    blocks = 3 if what == "encoder" else int(what)
    still = tuple(["encoder.embed."] * bool(blocks)) + tuple(
        f"encoder.blocks.{number}." for number in range(blocks)
    )
    frozen = {name for name, p in built.named_parameters() if not p.requires_grad}
    assert frozen == {
        name for name, _ in built.named_parameters() if still and name.startswith(still)
    }
    assert count == sum(built.get_parameter(name).numel() for name in frozen)
    assert not frozen & set(by_name(layer_groups(built), "scale"))
    built(clip(1))["label"].sum().backward()
    for name, parameter in built.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name


def test_frozen_blocks_have_no_drop_path():
    built = classifier(drop_path=0.9)
    freeze(built, "encoder")
    built.train()
    frames = clip(4)
    assert built.training
    assert not built.encoder.blocks[2].training
    assert torch.equal(built(frames)["label"], built(frames)["label"])
    half = classifier(drop_path=0.9)
    freeze(half, 2)
    half.train()
    assert [block.training for block in half.encoder.blocks] == [False, False, True]


@pytest.mark.parametrize("what", ["head", "4", 4, -1, "", "1.5", True])
def test_freezing_of_something_else(what):
    with pytest.raises(SettingsError, match=r"say encoder, or a number of blocks from 0 to 3"):
        freeze(classifier(), what)
