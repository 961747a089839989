"""LoRA: nothing changes at first, only the new weights train, and they can be added to the old."""

import pytest
import torch

from helpers.hf_models import save
from helpers.inputs import clip, generator, settings
from helpers.official import clips
from mofo.models.encoder import make_encoder
from mofo.models.hf.folder import open_hf_encoder
from mofo.models.lora import add_lora, merge_lora
from mofo.types import SettingsError

pytest.importorskip("peft", reason="pip install peft")


@pytest.mark.parametrize("name", ["vit", "vjepa2", "vivit"])
def test_new_weights_beside_those_of_the_encoder(name, tmp_path):
    sizes, frames = settings(), clip()
    if name != "vit":
        save(tmp_path, name)
        sizes, frames = open_hf_encoder(f"hf:{tmp_path}").settings, clips(2, 4, 32)
    encoder, adapted = make_encoder(sizes).eval(), make_encoder(sizes).eval()
    before = torch.get_rng_state()
    add_lora(adapted, 2, frozen=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(adapted(frames), encoder(frames))
    assert merge_lora(adapted.state_dict()).keys() == encoder.state_dict().keys()
    trains = {key for key, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trains
    assert all(".lora_" in key for key in trains)
    first = {id(p) for group in adapted.layer_groups()[:2] for p in group.parameters()}
    assert not any(id(p) in first for p in adapted.parameters() if p.requires_grad)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1, generator=generator(3))
    adapted(frames).sum().backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)
    encoder.load_state_dict(merge_lora(adapted.state_dict()))
    torch.testing.assert_close(encoder(frames), adapted(frames), rtol=0, atol=2e-5)


def test_weights_without_adapters_stay_as_they_are():
    weights = make_encoder(settings()).state_dict()
    merged = merge_lora(weights)
    assert all(torch.equal(merged[key], tensor) for key, tensor in weights.items())


def test_nothing_left_to_adapt_is_said():
    with pytest.raises(SettingsError, match="no layer"):
        add_lora(make_encoder(settings()), 2, frozen=2)
