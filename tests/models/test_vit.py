import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.inputs import GRID, clip, generator, gradients, mask, model, randomise, settings
from mofo.models.encoder import Encoder, make_encoder
from mofo.models.vit import Block
from mofo.types import SettingsError


def encoder(**options) -> Encoder:
    built = make_encoder(settings(**options))
    randomise(built)
    return built


def test_all_tokens_and_visible_ones():
    built = encoder()
    assert built(clip()).shape == (2, 24, 64)
    assert built(clip(), mask().visible_BV).shape == (2, 6, 64)


def test_visible_embedding_is_that_of_all_tokens():
    built, visible = encoder(), mask().visible_BV
    everything = built.embed(clip())
    chosen = built.embed(clip(), visible)
    wanted = torch.stack([everything[b, visible[b]] for b in range(2)])
    # Sums of 96 to 1536 products, in an order that depends on the processor.
    torch.testing.assert_close(chosen, wanted, rtol=0, atol=1e-5)
    # And so is the whole encoder when all tokens are named.
    all_BN = torch.arange(24).expand(2, -1)
    torch.testing.assert_close(built(clip(), all_BN), built(clip()), rtol=0, atol=1e-5)


def test_embedding_is_the_convolution_over_the_normalised_clip():
    built, frames = encoder().embed, clip()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    video_BCTHW = ((frames / 255 - mean) / std).permute(0, 4, 1, 2, 3)
    kernel = built.proj.weight.reshape(64, 2, 16, 16, 3).permute(0, 4, 1, 2, 3)
    wanted = F.conv3d(video_BCTHW, kernel, built.proj.bias, stride=(2, 16, 16))
    torch.testing.assert_close(built(frames), wanted.flatten(2).transpose(1, 2), rtol=0, atol=1e-5)


def test_float_frames_equal_bytes():
    built = encoder()
    torch.testing.assert_close(built(clip() / 255), built(clip()), rtol=0, atol=2e-5)


def test_batch_order_does_not_matter():
    built, visible = encoder(), mask(3).visible_BV
    found = built(clip(3), visible)
    turned = built(clip(3).flip(0), visible.flip(0))
    torch.testing.assert_close(turned, found.flip(0), rtol=0, atol=1e-5)


def test_block_equals_torchs_own_transformer_layer():
    """An independent implementation: same weights, bias of the keys zero."""
    block = Block(32, 4)
    randomise(block, 1)
    other = nn.TransformerEncoderLayer(
        32, 4, 128, dropout=0, activation="gelu", layer_norm_eps=1e-6, batch_first=True,
        norm_first=True,
    )  # fmt: skip
    bias = torch.cat([block.attention.q_bias, torch.zeros(32), block.attention.v_bias])
    pairs = {
        "self_attn.in_proj_weight": block.attention.qkv.weight,
        "self_attn.in_proj_bias": bias,
        "self_attn.out_proj.weight": block.attention.proj.weight,
        "self_attn.out_proj.bias": block.attention.proj.bias,
        "linear1.weight": block.mlp.fc1.weight,
        "linear1.bias": block.mlp.fc1.bias,
        "linear2.weight": block.mlp.fc2.weight,
        "linear2.bias": block.mlp.fc2.bias,
        "norm1.weight": block.attention.norm.weight,
        "norm1.bias": block.attention.norm.bias,
        "norm2.weight": block.mlp.norm.weight,
        "norm2.bias": block.mlp.norm.bias,
    }
    other.load_state_dict({name: value.detach() for name, value in pairs.items()})
    x = torch.randn(2, 7, 32, generator=generator(8))
    torch.testing.assert_close(block(x), other(x), rtol=0, atol=1e-5)


def test_tokens_that_nobody_asks_for_are_skipped_at_the_end():
    built = encoder().blocks
    x = torch.randn(2, 7, 64, generator=generator(8))
    torch.testing.assert_close(built(x, 3), built(x)[:, 3:], rtol=0, atol=1e-5)


def test_drop_path_leaves_out_whole_samples_and_keeps_the_mean():
    block = Block(8, 2, drop_path=0.3)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.attention.proj.bias.fill_(1.0)  # the branch of the attention: 1 everywhere
    torch.manual_seed(5)
    drawn = block(torch.zeros(20000, 2, 8))
    assert drawn.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (drawn == drawn[:, :1, :1]).all()
    # Four standard deviations of the mean of 20000 draws.
    assert drawn[:, 0, 0].mean().item() == pytest.approx(1, abs=4 * math.sqrt(0.3 / 0.7 / 20000))
    block.eval()
    assert (block(torch.zeros(4, 2, 8)) == 1).all()


def test_drop_path_grows_over_the_blocks():
    built = make_encoder(settings(depth=5, drop_path=0.2))
    assert [block.drop_path for block in built.blocks] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_checkpointing_gives_the_same_gradients(drop_path):
    found = []
    for checkpointing in (False, True):
        built = encoder(activation_checkpointing=checkpointing, drop_path=drop_path)
        torch.manual_seed(7)
        built(clip()).square().sum().backward()
        found.append(gradients(built))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_checkpointing_keeps_less():
    def kept(checkpointing: bool) -> int:
        built, sizes = encoder(activation_checkpointing=checkpointing), {}

        def note(tensor):
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            built(clip())
        return sum(sizes.values())

    assert kept(True) < 0.6 * kept(False)


def test_the_classifiers_encoder_takes_the_weights_without_the_norm():
    trained = model()
    bare = make_encoder(settings(), final_norm=False)
    problems = bare.load_state_dict(trained.encoder.state_dict(), strict=False)
    assert problems.missing_keys == []
    assert problems.unexpected_keys == ["norm.weight", "norm.bias"]
    torch.testing.assert_close(trained.encoder.norm(bare(clip())), trained.encoder(clip()))


def test_names_of_the_state():
    names = set(model().state_dict())
    assert {
        "encoder.embed.proj.weight",
        "encoder.positions.made_for",
        "encoder.blocks.0.attention.qkv.weight",
        "encoder.blocks.0.attention.q_bias",
        "encoder.blocks.1.mlp.fc2.bias",
        "encoder.norm.weight",
        "decoder.embed.weight",
        "decoder.mask_token",
        "decoder.blocks.0.attention.norm.weight",
        "decoder.head.weight",
    } <= names
    assert not any("qkv.bias" in name or "k_bias" in name for name in names)


def test_weights_at_the_start():
    built = make_encoder(settings())
    for name, parameter in built.named_parameters():
        if parameter.ndim == 1:
            wanted = 1.0 if name.endswith("norm.weight") else 0.0
            assert (parameter == wanted).all(), name
        else:
            bound = math.sqrt(6 / sum(parameter.shape))
            assert parameter.abs().max() <= bound
            assert parameter.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05), name
    other = make_encoder(settings(), generator=generator(1))
    assert not torch.equal(other.embed.proj.weight, built.embed.proj.weight)


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    model()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (torch.zeros(2, 4, 3, 64, 48, dtype=torch.uint8), "height, width, colours"),
        (torch.zeros(2, 8, 64, 48, 3, dtype=torch.uint8), r"\(2, 8, 64, 48, 3\)"),
        (torch.zeros(4, 64, 48, 3, dtype=torch.uint8), "the model takes"),
        (torch.zeros(2, 4, 64, 48, 3, dtype=torch.int64), "uint8"),
    ],
)
def test_wrong_frames_give_one_clear_line(frames, words):
    with pytest.raises(SettingsError, match=words) as error:
        make_encoder(settings(grid=GRID))(frames)
    assert "\n" not in str(error.value)
