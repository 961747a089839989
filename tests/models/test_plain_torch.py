"""The models are plain torch: whatever works on an ``nn.Module`` of real layer calls works here."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from helpers.inputs import (
    clip,
    generator,
    gradients,
    mask,
    model,
    randomise,
    settings,
    tokens,
)
from mofo.masking import Mask
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.vit import Block

INSIDE = tokens(count=9)


def classifier(fusion: str = "cross_attention", **options) -> Classifier:
    built = Classifier(
        ClassifierSettings(classes={"label": 5}, model=settings(**options), fusion=fusion)
    )
    randomise(built)
    return built


def both_ways(kind: str):
    """A model and its step, a scalar."""
    if kind == "pretrain":
        built = model()
        return built, lambda module: module(clip(), mask()).loss
    built = classifier()
    return built, lambda module: module(clip(), INSIDE)["label"].square().sum()


KINDS = pytest.mark.parametrize("kind", ["pretrain", "finetune"])


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    kinds = (nn.Linear, nn.LayerNorm)
    return {name: part for name, part in module.named_modules() if isinstance(part, kinds)}


@KINDS
@pytest.mark.parametrize("way", ["training", "no_grad", "compiled"])
def test_forward_hooks_fire_on_every_layer(kind, way):
    built, step = both_ways(kind)
    fired: Counter[str] = Counter()
    for name, layer in layers_of(built).items():
        layer.register_forward_hook(lambda *_, name=name: fired.update([name]))
    if way == "compiled":
        torch._dynamo.reset()
        step(torch.compile(built, backend="eager"))
    else:
        with torch.set_grad_enabled(way == "training"):
            step(built)
    assert dict(fired) == dict.fromkeys(layers_of(built), 1)


@KINDS
def test_lora_layers_train_and_change_the_output(kind):
    peft = pytest.importorskip("peft", reason="pip install peft")
    built, step = both_ways(kind)
    before = step(built).item()
    names = [name for name, layer in layers_of(built).items() if isinstance(layer, nn.Linear)]
    lora = peft.LoraConfig(r=2, target_modules=names, init_lora_weights=False)
    adapted = peft.get_peft_model(built, lora)
    changed = step(adapted)
    assert abs(changed.item() - before) > 1e-4
    changed.backward()
    wanted = {name: p.grad.clone() for name, p in adapted.named_parameters() if p.requires_grad}
    assert all(values.abs().max() > 0 for values in wanted.values())
    assert sum("lora_A" in name for name in wanted) == len(names)


@KINDS
def test_dropout_within_what_is_computed_again_is_the_same(kind, monkeypatch):
    peft = pytest.importorskip("peft", reason="pip install peft")
    built, step = both_ways(kind)
    options = {"target_modules": ["qkv", "fc1", "fc2"], "init_lora_weights": False}
    adapted = peft.get_peft_model(built, peft.LoraConfig(r=2, lora_dropout=0.5, **options))
    found = []
    for keep_all in (False, True):
        if keep_all:
            monkeypatch.setattr("mofo.models.layers.recompute", lambda function, x: function(x))
        adapted.zero_grad()
        torch.manual_seed(3)
        step(adapted).backward()
        found.append({n: p.grad.clone() for n, p in adapted.named_parameters() if p.requires_grad})
    torch.testing.assert_close(*found)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@KINDS
def test_functional_call_and_vmap_give_gradients_of_each_sample(kind):
    built, _ = both_ways(kind)
    parameters = dict(built.named_parameters())
    if kind == "pretrain":
        batch = (clip(3), *mask(3))

        def loss(values, frames, *parts):
            one = Mask(*(part[None] for part in parts))
            return functional_call(built, values, (frames[None], one)).loss
    else:
        batch = (clip(3), tokens(3, count=9))

        def loss(values, frames, inside):
            return functional_call(built, values, (frames[None], inside[None]))["label"].sum()

    found = vmap(grad(loss), (None, *[0] * len(batch)))(parameters, *batch)
    for sample in range(3):
        built.zero_grad()
        loss(parameters, *(part[sample] for part in batch)).backward()
        for name, wanted in gradients(built).items():
            torch.testing.assert_close(found[name][sample], wanted, rtol=1e-3, atol=1e-5, msg=name)


def test_double_backward():
    block = Block(8, 2).double()
    randomise(block)
    x = torch.randn(2, 4, 8, generator=generator(1), dtype=torch.float64, requires_grad=True)
    inputs = (x, *block.parameters())
    with sdpa_kernel(SDPBackend.MATH):  # torch's fused attention has no second derivative
        assert torch.autograd.gradgradcheck(lambda x, *_: block(x, 1), inputs, fast_mode=True)


@KINDS
def test_penalty_on_the_gradient(kind):
    built, step = both_ways(kind)
    with sdpa_kernel(SDPBackend.MATH):
        first = torch.autograd.grad(step(built), list(built.parameters()), create_graph=True)
        sum(part.square().sum() for part in first).backward()
    assert all(values.isfinite().all() for values in gradients(built).values())


@KINDS
def test_compiled_equals_eager(kind):
    torch._dynamo.reset()
    built, step = both_ways(kind)
    wanted = step(built)
    wanted.backward()
    expected = {name: values.clone() for name, values in gradients(built).items()}
    built.zero_grad()
    found = step(torch.compile(built, fullgraph=True, backend="aot_eager"))
    found.backward()
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    for name, values in gradients(built).items():
        room = 1e-4 * max(1.0, float(expected[name].abs().max()))
        torch.testing.assert_close(values, expected[name], rtol=0, atol=room, msg=name)


@KINDS
def test_bf16_by_autocast(kind):
    built, step = both_ways(kind)
    wanted = step(built).item()
    with torch.autocast("cpu", torch.bfloat16):
        found = step(built)
    found.backward()
    assert found.item() == pytest.approx(wanted, rel=0.05)
    for values in gradients(built).values():
        assert values.dtype == torch.float32
        assert values.isfinite().all()


@KINDS
def test_sharded_by_blocks(kind, one_process):
    """FSDP, each block a unit of its own; what is computed again finds its weights."""
    from torch.distributed.fsdp import fully_shard

    built, step = both_ways(kind)
    step(built).backward()
    expected = {name: values.clone() for name, values in gradients(built).items()}
    built.zero_grad()
    for part in built.modules():
        if isinstance(part, Block):
            fully_shard(part)
    fully_shard(built)
    step(built).backward()
    for name, parameter in built.named_parameters():
        found = parameter.grad.full_tensor()
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5, msg=name)


@KINDS
def test_exported(kind):
    built, _ = both_ways(kind)
    built.eval()
    batch = torch.export.Dim("batch", min=1, max=64)

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.built = built

        def forward(self, frames, chosen):
            if kind == "finetune":
                return self.built(frames, chosen)["label"]
            return self.built.encoder(frames, chosen)

    chosen = INSIDE if kind == "finetune" else mask().visible_BV
    with torch.no_grad():
        program = torch.export.export(
            Plain(), (clip(), chosen), dynamic_shapes=({0: batch}, {0: batch})
        )
        more = tokens(3, count=9) if kind == "finetune" else mask(3).visible_BV
        found = program.module()(clip(3), more)
        wanted = Plain()(clip(3), more)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_less_is_kept_for_the_backward_pass():
    """Of 16 tensors of a token's width, about 10: inputs of GELU and norms, not their outputs."""
    block, count = Block(64, 2), 50
    randomise(block)
    x = torch.randn(2, count, 64, generator=generator(4), requires_grad=True)
    kept = {}

    def note(tensor):
        if not isinstance(tensor, nn.Parameter) and tensor.numel() >= x.numel():
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = block(x)
    # Checkpointing has hooks of its own: what it keeps are its inputs, x, y and fc1's output.
    assert sum(kept.values()) <= 10 * x.untyped_storage().nbytes()
    y.sum().backward()
