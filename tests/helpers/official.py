"""VideoMAE as its paper says it, on plain state dicts in the layout of its published files.

Written anew for these tests, with none of this package's code: what is compared with it came
through the import.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Weights = dict[str, Tensor]


def block_shapes(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.norm1.weight": (width,), f"{prefix}.norm1.bias": (width,),
        f"{prefix}.attn.q_bias": (width,), f"{prefix}.attn.v_bias": (width,),
        f"{prefix}.attn.qkv.weight": (3 * width, width),
        f"{prefix}.attn.proj.weight": (width, width), f"{prefix}.attn.proj.bias": (width,),
        f"{prefix}.norm2.weight": (width,), f"{prefix}.norm2.bias": (width,),
        f"{prefix}.mlp.fc1.weight": (4 * width, width), f"{prefix}.mlp.fc1.bias": (4 * width,),
        f"{prefix}.mlp.fc2.weight": (width, 4 * width), f"{prefix}.mlp.fc2.bias": (width,),
    }  # fmt: skip


def embed_shapes(prefix: str, width: int, tubelet: int = 2, patch: int = 16):
    kernel = (width, 3, tubelet, patch, patch)
    return {f"{prefix}patch_embed.proj.weight": kernel, f"{prefix}patch_embed.proj.bias": (width,)}


def pretrain_shapes(width: int, depth: int, inner: int, inner_depth: int, tubelet: int = 2):
    shapes = {"mask_token": (1, 1, inner)} | embed_shapes("encoder.", width, tubelet)
    for number in range(depth):
        shapes |= block_shapes(f"encoder.blocks.{number}", width)
    shapes |= {"encoder.norm.weight": (width,), "encoder.norm.bias": (width,)}
    for number in range(inner_depth):
        shapes |= block_shapes(f"decoder.blocks.{number}", inner)
    pixels = 3 * tubelet * 16 * 16
    return shapes | {
        "decoder.norm.weight": (inner,), "decoder.norm.bias": (inner,),
        "decoder.head.weight": (pixels, inner), "decoder.head.bias": (pixels,),
        "encoder_to_decoder.weight": (inner, width),
    }  # fmt: skip


def finetuned_shapes(width: int, depth: int, classes: int):
    shapes = embed_shapes("", width)
    for number in range(depth):
        shapes |= block_shapes(f"blocks.{number}", width)
    return shapes | {
        "fc_norm.weight": (width,), "fc_norm.bias": (width,),
        "head.weight": (classes, width), "head.bias": (classes,),
    }  # fmt: skip


def mofo_shapes(width: int, depth: int, classes: int):
    """The released MOFO program's classifier: a block with queries apart, and unused parts."""
    shapes = finetuned_shapes(width, depth, classes)
    for name in ("local_MCA.0", "global_MCA.0"):
        block = block_shapes(name, width)
        del block[f"{name}.attn.qkv.weight"]
        shapes |= block | {
            f"{name}.attn.q.weight": (width, width), f"{name}.attn.kv.weight": (2 * width, width),
        }  # fmt: skip
    for name in ("soft_att_local", "soft_att_global"):
        shapes |= {f"{name}.weight": (width, 1), f"{name}.b": (1,)}
    kernel = (width, 3, 2, 16, 16)
    return shapes | {"patch_yab.weight": kernel, "patch_yab.bias": (width,)}


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        fan = math.prod(shape[1:]) if len(shape) > 1 else 100
        state[name] = torch.randn(shape, generator=generator) * fan**-0.5
        if "norm" in name and name.endswith("weight"):
            state[name] += 1
    return state


def positions(tokens: int, width: int) -> Tensor:
    table = torch.zeros(tokens, width, dtype=torch.float64)
    for channel in range(width):
        angle = torch.arange(tokens).double() / 10000 ** (2 * (channel // 2) / width)
        table[:, channel] = angle.sin() if channel % 2 == 0 else angle.cos()
    return table.float()


def norm(x: Tensor, state: Weights, name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def linear(x: Tensor, state: Weights, name: str) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    out = []
    for a, b, c in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        out.append((a @ b.transpose(-2, -1) / a.shape[-1] ** 0.5).softmax(-1) @ c)
    return torch.cat(out, -1)


def feed(x: Tensor, state: Weights, name: str) -> Tensor:
    inner = F.gelu(linear(norm(x, state, f"{name}.norm2"), state, f"{name}.mlp.fc1"))
    return x + linear(inner, state, f"{name}.mlp.fc2")


def block(x: Tensor, state: Weights, name: str, heads: int) -> Tensor:
    q_bias, v_bias = state[f"{name}.attn.q_bias"], state[f"{name}.attn.v_bias"]
    bias = torch.cat([q_bias, torch.zeros_like(q_bias), v_bias])
    qkv = F.linear(norm(x, state, f"{name}.norm1"), state[f"{name}.attn.qkv.weight"], bias)
    x = x + linear(attend(*qkv.chunk(3, -1), heads), state, f"{name}.attn.proj")
    return feed(x, state, name)


def tokens_of(frames: Tensor, state: Weights, prefix: str) -> Tensor:
    pixels = ((frames / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 4, 1, 2, 3)
    kernel = state[f"{prefix}patch_embed.proj.weight"]
    bias = state[f"{prefix}patch_embed.proj.bias"]
    found = F.conv3d(pixels, kernel, bias, stride=kernel.shape[2:]).flatten(2).transpose(1, 2)
    return found + positions(found.shape[1], found.shape[2])


def count(state: Weights, stack: str) -> int:
    return len({name.split(".blocks.")[1].split(".")[0] for name in state if stack in f".{name}"})


def pretrained(frames: Tensor, mask: Tensor, state: Weights, heads: int, inner_heads: int):
    """Predicted pixels of the hidden tokens."""
    x = tokens_of(frames, state, "encoder.")
    batch, total, _ = x.shape
    x = x[~mask].reshape(batch, -1, x.shape[2])
    for number in range(count(state, ".encoder.blocks.")):
        x = block(x, state, f"encoder.blocks.{number}", heads)
    x = linear(norm(x, state, "encoder.norm"), state, "encoder_to_decoder")
    place = positions(total, x.shape[2]).expand(batch, -1, -1)
    seen, asked = (place[some].reshape(batch, -1, x.shape[2]) for some in (~mask, mask))
    x = torch.cat([x + seen, state["mask_token"] + asked], 1)
    for number in range(count(state, ".decoder.blocks.")):
        x = block(x, state, f"decoder.blocks.{number}", inner_heads)
    return linear(norm(x[:, -asked.shape[1] :], state, "decoder.norm"), state, "decoder.head")


def encoded(frames: Tensor, state: Weights, heads: int) -> Tensor:
    x = tokens_of(frames, state, "")
    for number in range(len({n.split(".")[1] for n in state if n.startswith("blocks.")})):
        x = block(x, state, f"blocks.{number}", heads)
    return x


def finetuned(frames: Tensor, state: Weights, heads: int) -> Tensor:
    """Logits."""
    return linear(norm(encoded(frames, state, heads).mean(1), state, "fc_norm"), state, "head")


def mofo(frames: Tensor, inside: Tensor, state: Weights, heads: int) -> Tensor:
    """Logits; one sample after the other: those inside ask those outside, with three heads."""
    name, features = "local_MCA.0", []
    for x, some in zip(encoded(frames, state, heads), inside, strict=True):
        if not some.any():
            features.append(x.mean(0))
            continue
        mine, others = x[some], x[~some] if (~some).any() else x[some]
        asking, told = (norm(each, state, f"{name}.norm1") for each in (mine, others))
        q = F.linear(asking, state[f"{name}.attn.q.weight"], state[f"{name}.attn.q_bias"])
        k, v = F.linear(told, state[f"{name}.attn.kv.weight"]).chunk(2, -1)
        mixed = attend(q, k, v + state[f"{name}.attn.v_bias"], 3)
        mine = mine + linear(mixed, state, f"{name}.attn.proj")
        features.append(feed(mine, state, name).mean(0))
    return linear(norm(torch.stack(features), state, "fc_norm"), state, "head")


def clips(batch: int, frames: int, size: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, frames, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
