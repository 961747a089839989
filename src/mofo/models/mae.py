"""The masked autoencoder: it sees a tenth of a clip's tokens and predicts the rest.

VideoMAE (Tong et al., arXiv 2203.12602, section 3): encoder over visible tokens, a light decoder
over visible and hidden ones, mean squared error over the pixels of hidden tokens. Decoding only
part of the hidden tokens: VideoMAE V2 (Wang et al., arXiv 2303.16727, section 3.2). Instead of
pixels, features of another encoder can be predicted: the caller gives them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.masking import Mask
from mofo.models.encoder import make_encoder
from mofo.models.hub import HubModel
from mofo.models.layers import empty_linear, init_weights, recompute
from mofo.models.model_settings import CHANNELS, ModelSettings
from mofo.models.patches import (
    PatchStatistics,
    check_frames,
    full_scale,
    patch_statistics,
    spread_statistics,
    take_patches,
)
from mofo.models.positions import PositionTable
from mofo.models.vit import Blocks
from mofo.types import SettingsError

_MASK_TOKEN_STD = 0.02
_FLAT = 1e-6  # added to the deviation of a token's pixels, so that flat ones give 0


class MAEOutput(NamedTuple):
    """What a step gives.

    Attributes:
        loss: scalar, float32.
        error_BM: mean squared error of each predicted token, float32, without a gradient.
        prediction_BMp: their predicted pixels, in the units of the target, without a gradient.
    """

    loss: Tensor
    error_BM: Tensor
    prediction_BMp: Tensor


class Prediction(NamedTuple):
    """What the model makes of the target tokens, with nothing taken from them.

    Attributes:
        prediction_BMp: predicted pixels in the units of the target.
        statistics: mean and deviation that the pixels below were given. They are guessed from the
            visible tokens nearby: a normalised target says nothing about them.
        pixels_BMp: predicted pixels in [0, 1].
    """

    prediction_BMp: Tensor
    statistics: PatchStatistics
    pixels_BMp: Tensor


class Decoder(nn.Module):
    """Encoded visible tokens and the places of others to what is predicted of these others."""

    def __init__(self, settings: ModelSettings, encoder_width: int) -> None:
        super().__init__()
        width = settings.decoder_width
        self.embed = empty_linear(encoder_width, width, bias=False)
        self.mask_token = nn.Parameter(torch.empty(width))
        self.positions = PositionTable(settings.grid, width)
        self.blocks = Blocks(
            width,
            settings.decoder_depth,
            settings.decoder_heads,
            norm_eps=settings.norm_eps,
            activation_checkpointing=settings.activation_checkpointing,
        )
        self.norm = nn.LayerNorm(width, eps=settings.head_norm_eps)
        self.head = empty_linear(width, settings.target_width or settings.token_pixels)

    def forward(self, latent_BVD: Tensor, visible_BV: Tensor, target_BM: Tensor) -> Tensor:
        """Encoded tokens (B, V, D), their numbers, those of M others, to predictions (B, M, p)."""
        seen = self.embed(latent_BVD) + self.positions(visible_BV)
        masked = self.mask_token + self.positions(target_BM)
        # The pixels of visible tokens are not predicted: they are context.
        tokens_BMD = self.blocks(torch.cat([seen, masked], dim=1), visible_BV.shape[1])
        return recompute(lambda x: self.head(self.norm(x)), tokens_BMD)


class MaskedAutoencoder(nn.Module, HubModel):
    """Encoder, decoder and loss of masked pre-training.

    Args:
        settings: sizes and options.
        generator: draws the weights; none: one with seed 0.
    """

    settings_type = ModelSettings

    def __init__(
        self, settings: ModelSettings, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.settings = settings
        self.encoder = make_encoder(settings, final_norm=settings.final_norm, generator=generator)
        self.decoder = Decoder(settings, self.encoder.width)
        init_weights(self.decoder, generator)
        with torch.no_grad():
            self.decoder.mask_token.normal_(std=_MASK_TOKEN_STD, generator=generator)

    def forward(
        self,
        frames_BTHWC: Tensor,
        mask: Mask,
        *,
        weight_BN: Tensor | None = None,
        target_BMp: Tensor | None = None,
    ) -> MAEOutput:
        """One step: encodes what is visible, predicts what is hidden, compares.

        Args:
            frames_BTHWC: uint8, or float in [0, 1]; RGB.
            mask: what is visible, and what is predicted. Where that is a part of the hidden tokens,
                the decoder sees only these and the visible ones, so that what it predicts differs
                a little from the same tokens of a full decoding.
            weight_BN: float, weight of each token in the loss; None: 1. See ``area_weight``.
            target_BMp: what is to be predicted of the mask's targets; None: their pixels.

        Raises:
            SettingsError: frames or a mask of another size.
        """
        self._check(frames_BTHWC, mask)
        if target_BMp is None:
            target_BMp = self.target(frames_BTHWC, mask.target_BM)
        latent_BVD = self.encode(frames_BTHWC, mask.visible_BV)
        prediction_BMp = self.decode(latent_BVD, mask.visible_BV, mask.target_BM)
        error_BM = self.error(prediction_BMp, target_BMp)
        weight_BM = None if weight_BN is None else weight_BN.gather(1, mask.target_BM)
        loss = self.loss(error_BM, weight_BM)
        return MAEOutput(loss, error_BM.detach(), prediction_BMp.detach())

    def _check(self, frames_BTHWC: Tensor, mask: Mask) -> None:
        check_frames(frames_BTHWC, self.settings.grid)
        wanted = (frames_BTHWC.shape[0], self.settings.grid.tokens)
        if mask.hidden_BN.shape != wanted:
            raise SettingsError(
                f"the mask is for {tuple(mask.hidden_BN.shape)} (clips, tokens), but the model got "
                f"{tuple(wanted)}"
            )

    def check_pixels(self) -> None:
        """Raises a SettingsError if the model predicts something else than pixels."""
        if self.settings.target_width:
            raise SettingsError(
                "this model predicts features of another encoder, not pixels: there is no picture "
                "of what it predicts"
            )

    def encode(self, frames_BTHWC: Tensor, visible_BV: Tensor) -> Tensor:
        """Frames to the encoded visible tokens (B, V, D), normed."""
        return self.encoder(frames_BTHWC, visible_BV)

    def decode(self, latent_BVD: Tensor, visible_BV: Tensor, target_BM: Tensor) -> Tensor:
        """Encoded visible tokens to what is predicted of tokens ``target_BM``, (B, M, p)."""
        return self.decoder(latent_BVD, visible_BV, target_BM)

    @torch.no_grad()
    def target(self, frames_BTHWC: Tensor, index_BM: Tensor) -> Tensor:
        """True pixels of tokens ``index_BM``, float32 (B, M, p), as the model shall predict them.

        With ``normalise_target``, each token and colour has its mean taken out and is divided by
        its standard deviation (unbiased) + 1e-6, both of pixels in [0, 1]; flat tokens are 0.
        """
        check_frames(frames_BTHWC, self.settings.grid)
        self.check_pixels()
        patches_BMp = take_patches(frames_BTHWC, self.settings.grid, index_BM)
        scale = full_scale(frames_BTHWC)
        # A copy in any case, so that it can be worked on in place.
        pixels_BMqC = patches_BMp.to(torch.float32, copy=True).unflatten(2, (-1, CHANNELS))
        if not self.settings.normalise_target:
            return pixels_BMqC.div_(scale).flatten(2)
        # In the frames' own units: sums of uint8 are exact, and a flat token is 0, not noise.
        pixels_BMqC -= pixels_BMqC.mean(2, keepdim=True)
        count = pixels_BMqC.shape[2]
        std_BM1C = torch.linalg.vector_norm(pixels_BMqC, dim=2, keepdim=True) / (count - 1) ** 0.5
        return pixels_BMqC.div_(std_BM1C + _FLAT * scale).flatten(2)

    @staticmethod
    def error(prediction_BMp: Tensor, target_BMp: Tensor) -> Tensor:
        """Mean squared error of each token, float32 (B, M)."""
        return F.mse_loss(prediction_BMp.float(), target_BMp, reduction="none").mean(2)

    @staticmethod
    def loss(error_BM: Tensor, weight_BM: Tensor | None = None) -> Tensor:
        """Weighted mean of each clip's errors, 0 where all its weights are 0; mean of the clips.

        So a batch may be divided in any way.
        """
        if weight_BM is None:
            return error_BM.mean()
        weight_BM = weight_BM.to(error_BM.dtype)
        return ((error_BM * weight_BM).sum(1) / weight_BM.sum(1).clamp(min=1e-12)).mean()

    @torch.no_grad()
    def predict(self, frames_BTHWC: Tensor, mask: Mask) -> Prediction:
        """Predicts the target tokens, for pictures: nothing of the hidden pixels is used.

        Raises:
            SettingsError: as ``forward``; a model that predicts features.
        """
        self._check(frames_BTHWC, mask)
        self.check_pixels()
        grid, (visible_BV, target_BM, _) = self.settings.grid, mask
        latent_BVD = self.encode(frames_BTHWC, visible_BV)
        prediction_BMp = self.decode(latent_BVD, visible_BV, target_BM).float()
        known = patch_statistics(take_patches(frames_BTHWC, grid, visible_BV))
        guess = spread_statistics(known, visible_BV, target_BM, grid)
        pixels_BMp = prediction_BMp
        if self.settings.normalise_target:
            pixels_BMp = with_statistics(prediction_BMp, guess)
        return Prediction(prediction_BMp, guess, pixels_BMp.clamp(0, 1))


def with_statistics(prediction_BMp: Tensor, statistics: PatchStatistics) -> Tensor:
    """Normalised pixels to pixels with the given mean and deviation, (B, M, p); not clamped.

    With the true statistics of hidden tokens the answer leaks: such a picture has to say so.
    """
    pattern_BMqC = prediction_BMp.unflatten(2, (-1, CHANNELS))
    mean_BM1C, std_BM1C = (values.unsqueeze(2) for values in statistics)
    return (pattern_BMqC * std_BM1C + mean_BM1C).flatten(2)


def area_weight(inside_BN: Tensor, outside: float | Tensor) -> Tensor:
    """Weight of each token in the loss: 1 inside the motion area, ``outside`` elsewhere.

    A sample without a motion area (nothing inside) has weight 1 everywhere. ``inside_BN``: bool.
    ``outside``: at least 0; a tensor, where it changes under ``torch.compile``.
    """
    if not isinstance(outside, Tensor) and outside < 0:
        raise SettingsError(f"weight {outside} outside the motion area: 0 is the least")
    nothing_B1 = ~inside_BN.any(dim=1, keepdim=True)
    return torch.where(inside_BN | nothing_B1, 1.0, outside)
