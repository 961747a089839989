"""Fusions against a slow loop over samples, written by hand with boolean indexing."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.inputs import generator, gradients, randomise
from helpers.kinds import built_in
from mofo.models.fusion import FUSIONS, Fusion, MotionCrossAttention, make_fusion
from mofo.models.layers import init_weights
from mofo.types import SettingsError

# V-JEPA's pooler is compared with transformers': tests/weights/test_vjepa2.py.
FUSION_NAMES = [name for name in built_in(FUSIONS) if name != "vjepa_pooler"]

WIDTH, TOKENS = 24, 10
WITH_BLOCK = [name for name in FUSION_NAMES if FUSIONS[name].has_attention]
# Every kind of area: ragged, single tokens, all inside, none inside.
COUNTS = (4, TOKENS, 0, 1, TOKENS - 1, 7)


def built(name: str, seed: int = 0) -> Fusion:
    fusion = make_fusion(name, WIDTH)
    randomise(fusion, seed)
    return fusion


def area(counts=COUNTS, tokens: int = TOKENS, seed: int = 3) -> Tensor:
    rank_BN = torch.rand(len(counts), tokens, generator=generator(seed)).argsort(1).argsort(1)
    return rank_BN < torch.tensor(counts)[:, None]


def tokens(batch: int = len(COUNTS), count: int = TOKENS, seed: int = 4) -> Tensor:
    return torch.randn(batch, count, WIDTH, generator=generator(seed))


def block_by_hand(block: nn.Module, query_QD: Tensor, context_KD: Tensor, heads: int) -> Tensor:
    q_QD = block.query(block.query_norm(query_QD))
    key_DD, value_DD = block.key_value.weight.chunk(2)
    normed_KD = block.context_norm(context_KD)
    k_KD, v_KD = normed_KD @ key_DD.T, normed_KD @ value_DD.T + block.v_bias
    size = WIDTH // heads
    parts = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        weight_QK = (q_QD[:, own] @ k_KD[:, own].T / math.sqrt(size)).softmax(1)
        parts.append(weight_QK @ v_KD[:, own])
    x_QD = query_QD + block.proj(torch.cat(parts, 1))
    mlp = block.mlp
    return x_QD + mlp.fc2(F.gelu(mlp.fc1(mlp.norm(x_QD))))


def slow(name: str, fusion: Fusion, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
    rows = []
    for tokens_ND, inside_N in zip(tokens_BND, inside_BN, strict=True):
        inside, outside = tokens_ND[inside_N], tokens_ND[~inside_N]
        if name == "attentive":
            row = block_by_hand(fusion.block, fusion.query_D[None], tokens_ND, 3)[0]
        elif name == "first_token":
            row = tokens_ND[0]
        elif name == "mean" or len(inside) == 0:
            row = tokens_ND.mean(0)
        elif name == "weighted_mean":
            row = inside.mean(0)
            if len(outside):
                row = (row + 0.5 * outside.mean(0)) / 1.5
        else:
            context = outside if len(outside) else inside
            row = block_by_hand(fusion.block, inside, context, 3).mean(0)
        rows.append(row)
    return torch.stack(rows)


def backward(features_BD: Tensor) -> None:
    (features_BD * torch.randn(features_BD.shape, generator=generator(9))).sum().backward()


@pytest.fixture(params=["ragged", "dense"])
def ways(request, monkeypatch):
    """On which tokens ``cross_attention`` computes; the second is what a GPU and a graph do."""
    if request.param == "dense":
        monkeypatch.setattr(MotionCrossAttention, "ragged", MotionCrossAttention.dense)


CASES = {
    "ragged": (COUNTS, TOKENS),
    "all inside": ((TOKENS,) * 3, TOKENS),
    "none inside": ((0,) * 3, TOKENS),
    "one token inside": ((1,) * 3, TOKENS),
    "one token outside": ((TOKENS - 1,) * 3, TOKENS),
    "one token at all": ((0, 1), 1),
    "one sample": ((4,), TOKENS),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FUSION_NAMES)
def test_equals_the_loop_over_samples_in_values_and_gradients(name, case, dtype, ways):
    counts, count = CASES[case]
    inside_BN = area(counts, count)
    found_tokens, wanted_tokens = (
        tokens(len(counts), count).to(dtype).requires_grad_() for _ in range(2)
    )
    fusion, reference = built(name).to(dtype), built(name).to(dtype)
    found = fusion(found_tokens, inside_BN)
    wanted = slow(name, reference, wanted_tokens, inside_BN)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    backward(found)
    backward(wanted)
    exact = dtype == torch.float64
    torch.testing.assert_close(
        found_tokens.grad, wanted_tokens.grad, rtol=0 if exact else 1e-5, atol=1e-6
    )
    assert found_tokens.grad.abs().sum() > 0
    for (key, parameter), (_, other) in zip(
        fusion.named_parameters(), reference.named_parameters(), strict=True
    ):
        # The loop leaves the block out where nothing is inside: no gradient is a gradient of 0.
        other_grad = torch.zeros_like(other) if other.grad is None else other.grad
        # Sums of many terms, some of them large: in float32 these round a little more.
        room = 1e-6 if exact else 1e-5 * max(1.0, float(other_grad.abs().max()))
        difference = (parameter.grad - other_grad).abs().max()
        assert difference <= room, (key, difference)


@pytest.mark.parametrize("name", FUSION_NAMES)
def test_other_samples_do_not_matter(name, ways):
    fusion, tokens_BND, inside_BN = built(name).eval(), tokens(), area()
    together = fusion(tokens_BND, inside_BN)
    turn = torch.randperm(len(COUNTS), generator=generator(1))
    turned = fusion(tokens_BND[turn], inside_BN[turn])
    torch.testing.assert_close(turned, together[turn], rtol=0, atol=1e-6)
    for row in range(len(COUNTS)):
        alone = fusion(tokens_BND[row : row + 1], inside_BN[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-6)
    # Not even one that is no number.
    broken = tokens_BND.clone()
    broken[2] = float("nan")
    found = fusion(broken, inside_BN)
    keep = torch.arange(len(COUNTS)) != 2
    torch.testing.assert_close(found[keep], together[keep], rtol=0, atol=1e-6)
    assert found[2].isnan().all()


@pytest.mark.parametrize("name", ["attentive", "mean"])
def test_controls_know_nothing_of_the_area(name):
    fusion = built(name)
    wanted = fusion(tokens(), area())
    assert torch.equal(fusion(tokens(), ~area()), wanted)


@pytest.mark.parametrize("name", ["cross_attention", "weighted_mean"])
def test_the_area_matters(name):
    fusion, inside_BN = built(name), area((4, 3, 6))
    found, turned = fusion(tokens(3), inside_BN), fusion(tokens(3), ~inside_BN)
    assert ((found - turned).abs().amax(1) > 0.05).all()


@pytest.mark.parametrize("name", WITH_BLOCK)
def test_the_order_of_tokens_does_not_matter(name):
    turn = torch.randperm(TOKENS, generator=generator(2))
    fusion = built(name)
    found = fusion(tokens()[:, turn], area()[:, turn])
    torch.testing.assert_close(found, fusion(tokens(), area()), rtol=0, atol=2e-6)


# Regressions: pooling by attention over an axis of length 1 is a plain mean, whatever its weights.


@pytest.mark.parametrize("name", WITH_BLOCK)
def test_attention_is_no_disguised_mean(name):
    """Only the attention is left: no MLP, no residual of values; keys must change the answer."""
    fusion, inside_BN = built(name), area((4, 3, 6))
    before = fusion(tokens(3), inside_BN)
    with torch.no_grad():
        fusion.block.key_value.weight[:WIDTH] *= -3.0
    after = fusion(tokens(3), inside_BN)
    assert ((after - before).abs().amax(1) > 1e-2).all()
    weight_BhQN = fusion(tokens(3), inside_BN, return_attention=True)[1]
    rows = weight_BhQN[weight_BhQN.sum(3) > 0.5]
    spread = rows.amax(1) / rows.where(rows > 0, torch.inf).amin(1)
    assert spread.min() > 1.5


def test_attentive_is_not_the_mean():
    fusion = built("attentive")
    with torch.no_grad():  # values are the tokens as they are, normed; nothing is added after
        fusion.query_D.copy_(torch.randn(WIDTH, generator=generator(5)))
        fusion.block.key_value.weight[WIDTH:].copy_(torch.eye(WIDTH))
        fusion.block.v_bias.zero_()
        fusion.block.proj.weight.copy_(torch.eye(WIDTH))
        fusion.block.proj.bias.zero_()
        fusion.block.mlp.fc2.weight.zero_()
        fusion.block.mlp.fc2.bias.zero_()
    found = fusion(tokens(), area()) - fusion.query_D
    plain = fusion.block.context_norm(tokens()).mean(1)
    assert ((found - plain).abs().amax(1) > 0.1).all()
    assert (found[1:] - found[:1]).abs().amax(1).min() > 0.1


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FUSION_NAMES)
def test_always_numbers(name, case, autocast, ways):
    """Also where the area covers everything, or nothing."""
    counts, count = CASES[case]
    fusion = built(name)
    found_tokens = tokens(len(counts), count).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = fusion(found_tokens, area(counts, count))
    wanted = fusion(found_tokens.detach(), area(counts, count))
    # Rounding to 8 bits of mantissa: a part in 256, here in each of some layers.
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=0.06 if autocast else 1e-6)
    backward(found.float())
    assert found_tokens.grad.isfinite().all()
    assert all(grad.isfinite().all() for grad in gradients(fusion).values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", FUSION_NAMES)
def test_whole_model_in_another_type(name, dtype, ways):
    found = built(name).to(dtype)(tokens().to(dtype), area())
    assert found.dtype == dtype
    assert found.isfinite().all()


@pytest.mark.parametrize("name", WITH_BLOCK)
def test_every_parameter_learns(name, ways):
    fusion = make_fusion(name, WIDTH)
    init_weights(fusion, generator())
    fusion.init_extra(generator())
    backward(fusion(tokens(), area()))
    for key, grad in gradients(fusion).items():
        assert grad.abs().max() > 1e-6, key


@pytest.mark.parametrize("name", FUSION_NAMES)
def test_compiles_in_one_piece(name):
    torch._dynamo.reset()
    fusion, counts = built(name), (4, 0, 1, 5)
    compiled = torch.compile(fusion, fullgraph=True, backend="eager")
    inside_BN = area(counts)
    found = compiled(tokens(4), inside_BN)
    wanted = fusion(tokens(4), inside_BN)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(compiled(tokens(4), inside_BN), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FUSION_NAMES)
def test_no_shape_depends_on_the_area(name):
    """On the meta device there are no values: whatever asks for one fails."""
    fusion = built(name).to("meta")
    with torch.no_grad():
        found = fusion(tokens().to("meta"), area().to("meta"))
    assert found.shape == (len(COUNTS), WIDTH)


@pytest.mark.parametrize("name", FUSION_NAMES)
def test_attention_for_pictures(name):
    fusion, inside_BN = built(name), area()
    features, weight_BhQN = fusion(tokens(), inside_BN, return_attention=True)
    torch.testing.assert_close(features, fusion(tokens(), inside_BN), rtol=0, atol=0)
    asking = TOKENS if name == "cross_attention" else 1
    heads = 3 if name in WITH_BLOCK else 1
    assert weight_BhQN.shape == (len(COUNTS), heads, asking, TOKENS)
    assert not weight_BhQN.requires_grad
    asks_BQ = inside_BN if asking > 1 else torch.ones(len(COUNTS), 1, dtype=torch.bool)
    wanted_BhQ = asks_BQ[:, None].expand(-1, heads, -1).float()
    torch.testing.assert_close(weight_BhQN.sum(3), wanted_BhQ, rtol=0, atol=1e-6)
    if name == "cross_attention":  # none on tokens inside, if there are others
        within = (weight_BhQN * inside_BN[:, None, None]).sum((1, 2, 3))
        torch.testing.assert_close(within, torch.tensor([0, 3.0 * TOKENS, 0, 0, 0, 0]))
    elif name in ("mean", "first_token", "weighted_mean"):
        torch.testing.assert_close(weight_BhQN[:, 0] @ tokens(), features[:, None])


def test_number_of_parameters():
    linears = 12 * WIDTH**2  # queries, keys, values, projection; 8 in the MLP
    vectors = (3 * 2 + 3 + 4 + 1) * WIDTH  # three norms; biases: q, v, projection; MLP's
    counts = {n: sum(p.numel() for p in make_fusion(n, WIDTH).parameters()) for n in FUSION_NAMES}
    assert counts == {
        "cross_attention": linears + vectors,
        "attentive": linears + vectors + WIDTH,
        "first_token": 0,
        "mean": 0,
        "weighted_mean": 0,
    }


@pytest.mark.parametrize(("width", "heads"), [(768, 3), (384, 3), (192, 3), (1024, 4), (64, 4)])
def test_heads(width, heads):
    fusion = make_fusion("cross_attention", width).to("meta")
    tokens_1ND = torch.empty(1, 4, width, device="meta")
    inside_1N = torch.ones(1, 4, dtype=torch.bool, device="meta")
    with torch.no_grad():
        weight_BhQN = fusion(tokens_1ND, inside_1N, return_attention=True)[1]
    assert weight_BhQN.shape == (1, heads, 4, 4)


def test_mistakes():
    with pytest.raises(SettingsError, match=r"'cross_atention' is unknown.*'cross_attention'"):
        make_fusion("cross_atention", WIDTH)
    with pytest.raises(SettingsError, match="width 24 is not a multiple of 5 heads"):
        make_fusion("attentive", WIDTH, 5)
