"""A mask, a fusion and an encoder from outside of the package, one class each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mofo import cli
from mofo.evaluation.results import read_results
from mofo.masking import (
    MASKS,
    TOKEN_CHOICES,
    MaskSettings,
    MaskStrategy,
    TokenChoice,
    TokenSettings,
    make_mask,
)
from mofo.models.classifier import Classifier, ClassifierSettings, load_encoder
from mofo.models.encoder import ENCODERS, Encoder
from mofo.models.fusion import FUSIONS, Fusion
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.models.patches import check_frames, full_scale
from mofo.types import SettingsError, TokenGrid

GRID = TokenGrid(4, 32, 48)


@MASKS.register("left_first")
class LeftFirst(MaskStrategy):
    """The left columns of every frame."""

    description = "the left of the frame, always"

    def hidden(self, motion_Bthw, noise_BN):
        grid = self.grid
        place_hw = torch.arange(grid.w)[None] * grid.h + torch.arange(grid.h)[:, None]
        left_P = (place_hw.flatten() < self.hidden_per_slot).to(noise_BN.device)
        return left_P.repeat(len(noise_BN), grid.t)


@FUSIONS.register("strongest")
class Strongest(Fusion):
    """The maximum over the tokens inside, of each channel; over all where none is inside."""

    uses_motion = True
    description = "the strongest answer inside"

    def features(self, tokens_BND, inside_BN):
        inside_BN = inside_BN | ~inside_BN.any(1, keepdim=True)
        return tokens_BND.masked_fill(~inside_BN[..., None], float("-inf")).amax(1)


@TOKEN_CHOICES.register("left")
class Left(TokenChoice):
    """The left of the frame."""

    description = "the left of the frame"

    @staticmethod
    def score(grid, frames_BTHWC, motion_Bthw, noise_BN):
        return (1 - torch.arange(grid.w) / grid.w).expand(motion_Bthw.shape)


@ENCODERS.register("conv")
class Conv(Encoder):
    """Two convolutions; hidden tokens are black, so that nothing of them reaches the others."""

    def __init__(self, settings, *, final_norm=True, generator=None):
        super().__init__(settings)
        size = (settings.grid.tubelet, settings.grid.patch, settings.grid.patch)
        self.patches = nn.Conv3d(3, settings.width, size, size)
        self.mix = nn.Conv3d(settings.width, settings.width, 3, padding=1)
        self.norm = nn.LayerNorm(settings.width) if final_norm else nn.Identity()
        with torch.no_grad():
            for parameter in (*self.patches.parameters(), *self.mix.parameters()):
                parameter.normal_(std=0.02, generator=generator)

    def layers(self, frames_BTHWC, numbers, keep_BN=None):
        check_frames(frames_BTHWC, self.grid)
        video_BCTHW = frames_BTHWC.float().movedim(4, 1) / full_scale(frames_BTHWC)
        first = self.patches(video_BCTHW)
        if keep_BN is not None:
            first = first * keep_BN.reshape(-1, 1, *first.shape[2:])
        outputs = [first, first + self.mix(first.relu())]
        outputs = [output.flatten(2).transpose(1, 2) for output in outputs]
        return [self.norm(outputs[1]) if number else outputs[0] for number in numbers]

    def forward(self, frames_BTHWC, keep_BV=None):
        if keep_BV is None:
            return self.layers(frames_BTHWC, [1])[0]
        keep_BN = torch.zeros(len(keep_BV), self.grid.tokens, device=keep_BV.device)
        tokens_BND = self.layers(frames_BTHWC, [1], keep_BN.scatter(1, keep_BV, 1.0))[0]
        return tokens_BND.gather(1, keep_BV[..., None].expand(-1, -1, self.width))

    def layer_groups(self):
        return [self.patches, self.mix]


def frames(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 4, 32, 48, 3), dtype=torch.uint8, generator=generator)


def test_a_new_mask():
    inside, noise = torch.zeros(2, GRID.t, GRID.h, GRID.w) > 0, torch.rand(2, GRID.tokens)
    mask = make_mask(MaskSettings(strategy="left_first", ratio=0.67), GRID, inside, noise)
    assert mask.hidden_BN.reshape(2, 2, 2, 3)[0, 0].tolist() == [[True, True, False]] * 2
    with pytest.raises(SettingsError, match="did you mean 'left_first'"):
        MaskSettings(strategy="left_firs")


def test_a_new_way_to_choose_tokens():
    motion, noise = torch.zeros(2, GRID.t, GRID.h, GRID.w), torch.rand(2, GRID.tokens)
    kept = TokenSettings(keep=0.33, by="left", even=0).choose(GRID, frames(), motion, noise)
    assert (kept % GRID.w == 0).all()
    assert kept.shape == (2, 4)
    with pytest.raises(SettingsError, match="did you mean 'left'"):
        TokenSettings(by="lefd")


@pytest.mark.parametrize("encoder", ["vit", "conv"])
@pytest.mark.parametrize("fusion", ["strongest", "cross_attention"])
def test_a_new_encoder_and_a_new_fusion(encoder, fusion):
    size = ModelSettings.named("nano", grid=GRID, encoder=encoder)
    trained = MaskedAutoencoder(size)
    mask = make_mask(MaskSettings(), GRID, torch.zeros(2, 2, 2, 3) > 0, torch.rand(2, 12))
    first = trained(frames(), mask)
    first.loss.backward()
    assert all(parameter.grad is not None for parameter in trained.parameters())
    latent = trained.encode(frames(), mask.visible_BV)
    # Pixels of hidden tokens do not reach the others.
    hidden_BTHWC = mask.hidden_BN.reshape(2, 2, 2, 3).repeat_interleave(2, 1)
    hidden_BTHWC = hidden_BTHWC.repeat_interleave(16, 2).repeat_interleave(16, 3)[..., None]
    other = torch.where(hidden_BTHWC, frames(seed=2), frames())
    torch.testing.assert_close(trained.encode(other, mask.visible_BV), latent)
    assert latent.shape == (2, mask.visible_BV.shape[1], size.width)

    model = Classifier(ClassifierSettings(classes={"label": 3}, model=size, fusion=fusion))
    if encoder == "conv":
        load_encoder(model, trained.state_dict())
    model(frames(), torch.rand(2, 12) < 0.5)["label"].sum().backward()
    model.freeze(model.encoder.depth)
    assert not any(p.requires_grad for p in model.encoder.layer_groups()[0].parameters())


def test_all_three_by_the_command_line(tmp_path, capsys):
    from helpers.classifiers import write_videos

    table = write_videos(tmp_path / "videos", 4, ("push", "pull"))
    plugin = ["--plugin", __file__]
    recipe = [
        "--data.source", str(table), "--data.areas", "codec", "--data.frames", "4",
        "--data.size", "48", "--data.stride", "2", "--model.size", "nano",
        "--run.micro_batch", "2", "--run.workers", "0", "--quiet",
        "--optim.epochs", "1", "--optim.batch", "4", "--optim.warmup_epochs", "0",
    ]  # fmt: skip
    first, fine, out = (str(tmp_path / name) for name in ("first", "fine", "results"))
    own = ["--mask.strategy", "left_first", "--mask.ratio", "0.67", "--model.encoder", "conv"]
    assert cli.main(["pretrain", *recipe, *own, "--run.out", first, *plugin]) == 0
    tuned = ["--model.init", first, "--model.fusion", "strongest"]
    assert cli.main(["finetune", *recipe, *tuned, "--run.out", fine, *plugin]) == 0
    words = ["evaluate", "--encoder", fine, str(table), "--views", "1x1", "--quiet", "--out", out]
    assert cli.main([*words, *plugin]) == 0
    assert read_results(tmp_path / "results" / "results.json").about["fusion"] == "strongest"
    words = [
        "embed",
        "--encoder",
        first,
        str(table),
        "--layer",
        "0",
        "--out",
        str(tmp_path / "embed.npz"),
    ]
    assert cli.main([*words, *plugin]) == 0
    capsys.readouterr()
    assert cli.main(["pretrain", *recipe, *own, "--run.out", first, "--model.encoder", "con"]) == 2
    assert "did you mean 'conv'" in capsys.readouterr().err
