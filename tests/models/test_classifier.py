from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from helpers.inputs import GRID, clip, generator, gradients, model, randomise, settings
from helpers.kinds import built_in
from helpers.lanes import slow_but
from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import token_area
from mofo.models.classifier import Classifier, ClassifierSettings, load_encoder
from mofo.models.fusion import FUSIONS
from mofo.models.heads import label_loss
from mofo.models.model_settings import ModelSettings
from mofo.types import SettingsError, TokenGrid

FUSION_NAMES = built_in(FUSIONS)

CLASSES = {"verb": 5, "noun": 7}


def chosen(fusion: str = "cross_attention", **options) -> ClassifierSettings:
    found = {"classes": CLASSES, "model": settings(), "fusion": fusion} | options
    return ClassifierSettings(**found)


def classifier(fusion: str = "cross_attention", seed: int = 0, **options) -> Classifier:
    built = Classifier(chosen(fusion, **options))
    randomise(built, seed)
    return built


def area(batch: int = 2, seed: int = 5) -> Tensor:
    return torch.rand(batch, GRID.tokens, generator=generator(seed)) < 0.4


@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_encoder_fusion_norm_and_heads(fusion):
    built = classifier(fusion)
    found = built(clip(), area())
    tokens_BND = built.encoder(clip())
    assert tokens_BND.shape == (2, GRID.tokens, 64)
    normed = built.head.norm(built.fusion(tokens_BND, area()))
    assert list(found) == list(CLASSES)
    for name, values in found.items():
        assert values.shape == (2, CLASSES[name])
        torch.testing.assert_close(values, built.head.linear[name](normed))


@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_attention_comes_along(fusion):
    built = classifier(fusion)
    logits, weight_BhQN = built(clip(), area(), return_attention=True)
    plain = built(clip(), area())
    torch.testing.assert_close(logits, plain, rtol=0, atol=1e-6)
    assert weight_BhQN.shape[0] == 2
    assert weight_BhQN.shape[3] == GRID.tokens


def test_no_area_is_an_empty_one():
    built = classifier()
    nothing = torch.zeros(2, GRID.tokens, dtype=torch.bool)
    found, wanted = built(clip()), built(clip(), nothing)
    assert all(torch.equal(found[name], wanted[name]) for name in CLASSES)
    plain = built.head(built.encoder(clip()).mean(1))
    torch.testing.assert_close(found, plain)


def test_area_of_the_clip_or_of_each_tubelet():
    box_BT4 = torch.tensor([[[0, 0, 16, 16]] * 2 + [[32, 32, 48, 48]] * 2]).float()
    valid_BT = torch.ones(1, 4, dtype=torch.bool)
    counts = {}
    for per in ("clip", "tubelet"):
        clips = ClipBatch(clip(), box_BT4, valid_BT, None, None, None, ("a",), ())
        inside_BN = Classifier(chosen(area_span=per)).motion(clips)
        wanted = token_area(box_BT4, valid_BT, GRID, per=per).flatten(1)
        assert torch.equal(inside_BN, wanted)
        counts[per] = int(inside_BN.sum())
    assert counts == {"clip": 18, "tubelet": 2}


@pytest.mark.parametrize("span", ["clip", "tubelet"])
def test_motion_of_tokens_by_slot_or_joined(span):
    built = classifier(area_span=span, motion_threshold=0.6)
    motion_BN = torch.rand(2, GRID.tokens, generator=generator(3))
    inside_BtP = (motion_BN >= 0.6).unflatten(1, (GRID.t, -1))
    if span == "clip":
        inside_BtP = inside_BtP.any(1, keepdim=True).expand_as(inside_BtP)
    found, wanted = built(clip(), motion_BN), built(clip(), inside_BtP.flatten(1))
    assert all(torch.equal(found[name], wanted[name]) for name in CLASSES)
    with pytest.raises(SettingsError, match="motion_threshold 0"):
        chosen(motion_threshold=0)


def test_same_seed_same_weights_and_no_global_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same = (Classifier(chosen(), generator=generator(1)) for _ in range(2))
    other = Classifier(chosen(), generator=generator(2))
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(one.state_dict().values(), same.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(one.head.linear["verb"].weight, other.head.linear["verb"].weight)
    attentive = Classifier(chosen("attentive"))
    assert 0.01 < attentive.fusion.query_D.std() < 0.03
    assert attentive.head.linear["verb"].weight.abs().max() < 1e-3


@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_every_parameter_has_a_gradient(fusion):
    """From the start, and when nothing is inside in the whole batch."""
    built = Classifier(chosen(fusion))
    target = {"verb": torch.tensor([0, 3]), "noun": torch.tensor([6, 2])}
    label_loss(built(clip(), area()), target).backward()
    assert all(grad.abs().max() > 0 for grad in gradients(built).values())
    built.zero_grad()
    label_loss(built(clip()), target).backward()
    assert all(grad.isfinite().all() for grad in gradients(built).values())


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_no_parameter_is_left_unused(fusion, inside, one_process):
    """DDP raises in the second step if one of them had no gradient in the first."""
    shared = DistributedDataParallel(classifier(fusion))
    for _ in range(2):
        logits = shared(clip(), area() if inside else None)
        sum(values.sum() for values in logits.values()).backward()


def test_an_unused_parameter_would_be_noticed(one_process):
    built = classifier()
    built.unused = torch.nn.Parameter(torch.zeros(3))
    shared = DistributedDataParallel(built)
    sum(values.sum() for values in shared(clip(), area()).values()).backward()
    with pytest.raises(RuntimeError, match="not used in producing loss"):
        shared(clip(), area())


@pytest.mark.parametrize("fusion", slow_but(("mean", "cross_attention"), FUSION_NAMES))
def test_compiles_in_one_piece(fusion):
    torch._dynamo.reset()
    built = classifier(fusion).eval()
    compiled = torch.compile(built, fullgraph=True, backend="eager")
    found = compiled(clip(), area())
    torch.testing.assert_close(found, built(clip(), area()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_bf16(fusion):
    built = classifier(fusion)
    with torch.autocast("cpu", torch.bfloat16):
        found = built(clip(), area())
    wanted = built(clip(), area())
    for name, values in found.items():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, wanted[name], rtol=0, atol=0.1)


def test_drop_path_of_the_encoder_in_training_only():
    built = classifier(model=settings(drop_path=0.5))
    torch.manual_seed(0)
    found = [built(clip(), area())["verb"] for _ in range(4)]
    assert any(not torch.equal(found[0], values) for values in found[1:])
    built.eval()
    assert torch.equal(built(clip(), area())["verb"], built(clip(), area())["verb"])


def test_number_of_parameters():
    """ViT-B as VideoMAE's classifier: 86.2 M and the head; MOFO's block adds one of 7.1 M."""

    def count(fusion: str) -> int:
        built = ClassifierSettings(classes={"label": 174}, fusion=fusion)
        return sum(p.numel() for p in Classifier(built).parameters())

    embed, block = 1536 * 768 + 768, 12 * 768**2 + 4 * 768 + 9 * 768 - 768
    mean = embed + 12 * block + 2 * 768 + 174 * 769
    assert count("mean") == mean == 86_361_006
    assert count("cross_attention") - mean == 12 * 768**2 + 14 * 768 == 7_088_640


def test_a_default_of_the_base_size():
    found = ClassifierSettings(classes={"label": 174})
    assert (found.fusion, found.area_span, found.model.drop_path) == (
        "cross_attention",
        "clip",
        0.1,
    )
    assert found.model.width == 768


def test_mistakes_are_one_line_each():
    with pytest.raises(SettingsError) as error:
        chosen("avg", classes={"label": 0}, area_span="frame", labels="many", fusion_heads=5)
    text = str(error.value)
    assert "\n" not in text
    for part in (
        "fusion 'avg'",
        "0 classes",
        "area_span 'frame'",
        "labels 'many'",
        "multiple of 5",
    ):
        assert part in text
    built = classifier()
    with pytest.raises(
        SettingsError, match=r"area is torch.bool \(2, 7\), .* floats in .* \(2, 24\)"
    ):
        built(clip(), area()[:, :7])
    with pytest.raises(SettingsError, match=r"area is torch\.uint8"):
        built(clip(), area().byte())
    with pytest.raises(SettingsError, match="the model takes"):
        built(clip(grid=TokenGrid(2, 64, 48)), area())


# Weights of a pre-training.


def test_encoder_of_a_pretraining():
    trained, built = model(seed=7), classifier()
    others = {n: t.clone() for n, t in built.state_dict().items() if not n.startswith("encoder.")}
    report = load_encoder(built, trained.state_dict())
    for name, tensor in built.encoder.state_dict().items():
        assert torch.equal(tensor, trained.encoder.state_dict()[name]), name
    assert all(torch.equal(built.state_dict()[name], tensor) for name, tensor in others.items())
    assert set(report.loaded) | set(report.dropped) == set(trained.state_dict())
    left_out = {name for name in report.dropped if not name.startswith("decoder.")}
    assert left_out == {"encoder.norm.weight", "encoder.norm.bias"}
    encoded = trained.encoder.norm(built.encoder(clip()))
    torch.testing.assert_close(encoded, trained.encoder(clip()))
    assert str(report) == (
        f"{len(report.loaded)} tensors of the encoder loaded, {len(report.dropped)} of decoder and "
        "last norm not needed"
    )


def test_encoder_for_another_grid():
    longer = settings(grid=replace(GRID, frames=8))
    built = Classifier(chosen(model=longer))
    report = load_encoder(built, model().state_dict())
    assert str(report).endswith("positions interpolated from 2x4x3 to 4x4x3 tokens")
    assert built.encoder.positions.made_for.tolist() == [2, 4, 3]


def test_encoders_that_do_not_fit_change_nothing():
    built, state = classifier(), model().state_dict()
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    without = {n: t for n, t in state.items() if n != "encoder.blocks.0.mlp.norm.weight"}
    wide = model(width=128).state_dict()
    for weights, text in (
        (without, "missing: encoder.blocks.0.mlp.norm.weight"),
        (state | {"head.norm.weight": torch.ones(64)}, "unknown: head.norm.weight"),
        (wide, r"other shapes: encoder.embed.proj.weight is \(128, 1536\), not \(64, 1536\) and"),
        (model(depth=3).state_dict(), "unknown: encoder.blocks.2"),
        ({}, "missing: "),
    ):
        with pytest.raises(SettingsError, match=text) as error:
            load_encoder(built, weights, "run/model")
        assert str(error.value).startswith("run/model: does not fit this encoder")
        assert "\n" not in str(error.value)
    assert all(torch.equal(built.state_dict()[name], t) for name, t in before.items())


def test_large_models_have_a_default_number_of_heads():
    ClassifierSettings(classes=CLASSES, model=ModelSettings.named("large"))


@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_kept_tokens_are_what_an_encoder_without_the_others_gives(fusion):
    built = classifier(fusion)
    keep_BV = torch.stack([torch.arange(0, 24, 3), torch.arange(1, 24, 3)])
    everything = torch.arange(GRID.tokens).expand(2, -1)
    assert torch.equal(built(clip(), area(), everything)["verb"], built(clip(), area())["verb"])
    encoder = built.encoder
    embedded = encoder.embed(clip()) + encoder.positions()
    kept = encoder.blocks(embedded.gather(1, keep_BV[..., None].expand(-1, -1, 64)))
    fused = built.fusion(encoder.norm(kept), area().gather(1, keep_BV))
    found, weight_BhQV = built(clip(), area(), keep_BV, return_attention=True)
    torch.testing.assert_close(found, built.head(fused), rtol=0, atol=1e-5)
    assert weight_BhQV.shape[3] == 8
    motion_BN = area().float()  # how much each moves: made an area before others are left out
    wanted = built(clip(), built.inside(motion_BN), keep_BV)
    torch.testing.assert_close(built(clip(), motion_BN, keep_BV), wanted)
