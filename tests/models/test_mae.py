import os

import numpy as np
import pytest
import torch

from helpers.inputs import GRID, HIDDEN, clip, gradients, mask, model, settings, tokens
from mofo.masking import Mask
from mofo.models.mae import MaskedAutoencoder, area_weight, with_statistics
from mofo.models.patches import patch_statistics, put_patches, take_patches
from mofo.types import SettingsError, TokenGrid


def step(built, frames=None, chosen=None, **options):
    return built(clip() if frames is None else frames, chosen or mask(), **options)


def test_shapes_and_what_belongs_together():
    found = step(model())
    assert found.loss.shape == ()
    assert found.error_BM.shape == (2, HIDDEN)
    assert found.prediction_BMp.shape == (2, HIDDEN, 1536)
    assert not found.prediction_BMp.requires_grad
    assert found.loss.item() == pytest.approx(found.error_BM.mean().item(), rel=1e-6)


def test_loss_is_the_mean_squared_error_to_the_target():
    built = model()
    found = step(built)
    target = built.target(clip(), mask().target_BM)
    wanted = ((found.prediction_BMp - target) ** 2).mean()
    assert found.loss.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_target_follows_the_formula():
    pixels = clip().numpy().reshape(2, 2, 2, 4, 16, 3, 16, 3).astype(np.float64) / 255
    blocks = pixels.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(2, 24, 512, 3)
    mean, std = blocks.mean(2, keepdims=True), blocks.std(2, ddof=1, keepdims=True)
    wanted = ((blocks - mean) / (std + 1e-6)).reshape(2, 24, 1536)
    index = torch.tensor([[3, 1], [0, 23]])
    found = model().target(clip(), index).numpy()
    for sample in range(2):
        np.testing.assert_allclose(found[sample], wanted[sample, index[sample]], atol=2e-6)
    plain = model(normalise_target=False).target(clip(), index).numpy()
    np.testing.assert_allclose(plain[0], blocks.reshape(2, 24, 1536)[0, index[0]], atol=1e-7)


def test_bytes_and_floats_give_the_same():
    built = model()
    bytes_, floats = step(built), step(built, clip() / 255)
    torch.testing.assert_close(floats.prediction_BMp, bytes_.prediction_BMp, rtol=0, atol=2e-5)
    assert floats.loss.item() == pytest.approx(bytes_.loss.item(), rel=1e-5)


def test_the_frames_stay_as_they_are():
    for frames in (clip(), clip() / 255):
        before = frames.clone()
        step(model(), frames)
        assert torch.equal(frames, before)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_flat_tokens_have_a_target_of_zero(value):
    built = model()
    frames = torch.full_like(clip(), value)
    index = torch.arange(24).expand(2, -1)
    assert (built.target(frames, index) == 0).all()
    assert built.target(frames / 255, index).abs().max() < 0.2  # rounding of floats, over 1e-6
    found = step(built, frames)
    found.loss.backward()
    assert all(grad.isfinite().all() for grad in gradients(built).values())


def test_batch_order_does_not_matter():
    built = model()
    found = step(built, clip(3), mask(3))
    turned = step(built, clip(3).flip(0), Mask(*(part.flip(0) for part in mask(3))))
    torch.testing.assert_close(
        turned.prediction_BMp.flip(0), found.prediction_BMp, rtol=0, atol=1e-5
    )
    torch.testing.assert_close(turned.error_BM.flip(0), found.error_BM)


def test_hidden_pixels_do_not_reach_the_prediction():
    built, chosen = model(), mask()
    noise = torch.where(
        chosen.hidden_BN[:, :, None], take_patches(clip(seed=9), GRID), take_patches(clip(), GRID)
    )
    every = torch.arange(24).expand(2, -1)
    other = put_patches(clip(), GRID, every, noise)
    assert not torch.equal(other, clip())
    assert torch.equal(step(built, other).prediction_BMp, step(built).prediction_BMp)
    found, wanted = (built.predict(f, chosen) for f in (other, clip()))
    assert torch.equal(found.pixels_BMp, wanted.pixels_BMp)


def test_stages_by_hand_give_the_step():
    built = model()
    visible, index, _ = mask()
    latent = built.encode(clip(), visible)
    assert latent.shape == (2, 24 - HIDDEN, 64)
    prediction = built.decode(latent, visible, index)
    loss = built.loss(built.error(prediction, built.target(clip(), index)))
    assert torch.equal(loss, step(built).loss)


def part() -> Mask:
    """The same mask; every other hidden token is predicted."""
    hidden_BN = mask().hidden_BN
    return Mask.of(hidden_BN, hidden_BN & (hidden_BN.cumsum(1) % 2 == 0))


def test_decoding_a_part():
    """Not the same numbers as a full decoding has there: mask tokens attend to each other."""
    built = model()
    whole, half = step(built), step(built, chosen=part())
    assert half.prediction_BMp.shape == (2, HIDDEN // 2, 1536)
    same_tokens = whole.prediction_BMp[:, 1::2]
    assert not torch.allclose(half.prediction_BMp, same_tokens, rtol=0, atol=1e-3)
    visible, index, _ = part()
    latent = built.encode(clip(), visible)
    assert torch.equal(built.decode(latent, visible, index).detach(), half.prediction_BMp)


def test_weight_outside_the_area():
    built, inside = model(), torch.zeros(2, 24, dtype=torch.bool)
    inside[:, 4:15] = True
    plain = step(built)
    same = step(built, weight_BN=area_weight(inside, 1.0))
    assert same.loss.item() == pytest.approx(plain.loss.item(), rel=1e-6)
    at = inside.gather(1, mask().target_BM)
    for outside in (0.0, 0.25):
        weight = torch.where(at, 1.0, outside)
        found = step(built, weight_BN=area_weight(inside, torch.tensor(outside))).loss.item()
        each = (plain.error_BM * weight).sum(1) / weight.sum(1)  # a clip counts as any other
        assert found == pytest.approx(each.mean().item(), rel=1e-6)
    assert step(built, weight_BN=torch.zeros(2, 24)).loss == 0


def test_a_sample_without_an_area_counts_everywhere():
    inside = torch.zeros(2, 4, dtype=torch.bool)
    inside[0, 1] = True
    assert area_weight(inside, 0.5).tolist() == [[0.5, 1, 0.5, 0.5], [1, 1, 1, 1]]
    with pytest.raises(SettingsError, match="0 is the least"):
        area_weight(inside, -1.0)


def test_autocast_is_finite_and_near():
    built = model()
    exact = step(built)
    with torch.autocast("cpu", torch.bfloat16):
        found = step(built)
    assert found.loss.dtype == torch.float32
    assert found.prediction_BMp.dtype == torch.bfloat16
    assert found.loss.item() == pytest.approx(exact.loss.item(), rel=0.02)
    found.loss.backward()
    for name, grad in gradients(built).items():
        assert grad.dtype == torch.float32, name
        assert grad.isfinite().all(), name


def test_checkpointing_gives_the_same():
    found = []
    for checkpointing in (False, True):
        built = model(activation_checkpointing=checkpointing)
        step(built).loss.backward()
        found.append(gradients(built))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"activation_checkpointing": True}, marks=pytest.mark.slow),
        pytest.param({"drop_path": 0.1}, marks=pytest.mark.slow),
    ],
)
def test_compiles_without_a_break(options):
    built = model(**options).eval()
    plain = step(built, chosen=part(), weight_BN=area_weight(tokens(seed=4), 0.5))
    plain.loss.backward()
    wanted = gradients(built)
    built.zero_grad()
    torch._dynamo.reset()
    compiled = torch.compile(built, fullgraph=True, backend="aot_eager")
    found = step(compiled, chosen=part(), weight_BN=area_weight(tokens(seed=4), 0.5))
    found.loss.backward()
    assert found.loss.item() == pytest.approx(plain.loss.item(), rel=1e-5)
    for name, grad in gradients(built).items():
        torch.testing.assert_close(grad, wanted[name], rtol=1e-3, atol=1e-6, msg=name)


def test_compiles_in_training_with_autocast():
    torch._dynamo.reset()
    compiled = torch.compile(model(drop_path=0.2), fullgraph=True, backend="eager")
    with torch.autocast("cpu", torch.bfloat16):
        assert step(compiled).loss.isfinite()


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available() and os.environ.get("MOFO_REQUIRE_GPU") != "1",
    reason="no CUDA device",
)
def test_on_a_gpu_without_a_sync():
    """The step never waits for the device, compiled or not, and gives what the CPU gives."""
    built = model()
    wanted = step(built)
    built.cuda()
    frames, chosen = clip().cuda(), Mask(*(part.cuda() for part in mask()))
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = built(frames, chosen)
        found.loss.backward()
        with torch.autocast("cuda", torch.bfloat16):
            low = built(frames, chosen)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.loss.item() == pytest.approx(wanted.loss.item(), rel=1e-4)
    assert low.loss.item() == pytest.approx(wanted.loss.item(), rel=0.02)
    compiled = torch.compile(built, fullgraph=True)
    with torch.autocast("cuda", torch.bfloat16):
        fast = compiled(frames, chosen)
    fast.loss.backward()
    assert fast.loss.item() == pytest.approx(wanted.loss.item(), rel=0.02)


def test_predict_uses_neighbours_statistics_and_the_true_ones_only_when_given():
    built = model()
    found = built.predict(clip(), mask())
    assert found.pixels_BMp.min() >= 0
    assert found.pixels_BMp.max() <= 1
    # Noise has the same statistics everywhere: the guess must be near the truth.
    true = patch_statistics(take_patches(clip(), GRID, mask().target_BM))
    assert (found.statistics.mean_BMC - true.mean_BMC).abs().max() < 0.1
    wanted = with_statistics(found.prediction_BMp, found.statistics).clamp(0, 1)
    assert torch.equal(found.pixels_BMp, wanted)
    target = built.target(clip(), mask().target_BM)
    pixels = with_statistics(target, true)
    truth = take_patches(clip(), GRID, mask().target_BM) / 255
    torch.testing.assert_close(pixels, truth, rtol=0, atol=1e-5)
    plain = model(normalise_target=False).predict(clip(), mask())
    assert torch.equal(plain.pixels_BMp, plain.prediction_BMp.clamp(0, 1))


@pytest.mark.parametrize("chosen", [mask(3), mask(grid=TokenGrid(4, 64, 64))])
def test_a_mask_of_another_size_gives_one_clear_line(chosen):
    for act in (step, MaskedAutoencoder.predict):
        with pytest.raises(SettingsError, match=r"mask is for .*model got \(2, 24\)") as error:
            act(model(), clip(), chosen)
        assert "\n" not in str(error.value)


def test_a_few_steps_learn():
    built = MaskedAutoencoder(settings())
    optimiser = torch.optim.AdamW(built.parameters(), lr=1e-3)
    frames = torch.linspace(0, 255, 48).to(torch.uint8)[:, None].expand(2, 4, 64, 48, 3)
    losses = []
    for _ in range(30):
        loss = step(built, frames).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
