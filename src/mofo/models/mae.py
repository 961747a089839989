"""The masked autoencoder: it sees a tenth of a clip's tokens and predicts the pixels of the rest.

VideoMAE (Tong et al., arXiv 2203.12602, section 3): encoder over visible tokens, a light decoder
over visible and hidden ones, mean squared error over the pixels of hidden tokens. Decoding only
part of the hidden tokens: VideoMAE V2 (Wang et al., arXiv 2303.16727, section 3.2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.models.encoder import make_encoder
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

    M is the number of decoded tokens: all hidden ones, or the chosen part. Order: ascending.

    Attributes:
        loss: scalar, float32.
        error_BM: mean squared error of each decoded token, float32, without a gradient.
        index_BM: their numbers, int64.
        prediction_BMp: their predicted pixels, in the units of the target, without a gradient.
    """

    loss: Tensor
    error_BM: Tensor
    index_BM: Tensor
    prediction_BMp: Tensor


class Prediction(NamedTuple):
    """What the model makes of the hidden tokens, with nothing taken from them.

    Attributes:
        index_BM: numbers of the hidden tokens.
        prediction_BMp: predicted pixels in the units of the target.
        statistics: mean and deviation that the pixels below were given. They are guessed from the
            visible tokens nearby: a normalised target says nothing about them.
        pixels_BMp: predicted pixels in [0, 1].
    """

    index_BM: Tensor
    prediction_BMp: Tensor
    statistics: PatchStatistics
    pixels_BMp: Tensor


class Decoder(nn.Module):
    """Encoded visible tokens and the places of others to pixels of these others."""

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
        self.head = empty_linear(width, settings.token_pixels)

    def forward(self, latent_BVD: Tensor, visible_BV: Tensor, decoded_BM: Tensor) -> Tensor:
        """Encoded tokens (B, V, D), their numbers, and those of M others, to pixels (B, M, p)."""
        seen = self.embed(latent_BVD) + self.positions(visible_BV)
        masked = self.mask_token + self.positions(decoded_BM)
        # The pixels of visible tokens are not predicted: they are context.
        tokens_BMD = self.blocks(torch.cat([seen, masked], dim=1), visible_BV.shape[1])
        return recompute(lambda x: self.head(self.norm(x)), tokens_BMD)


class MaskedAutoencoder(nn.Module):
    """Encoder, decoder and loss of masked pre-training.

    A mask must hide the same number of tokens in every sample, and the caller says that number:
    so all shapes are known without asking the device.

    Args:
        settings: sizes and options.
        generator: draws the weights; none: one with seed 0.
    """

    def __init__(
        self, settings: ModelSettings, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.settings = settings
        self.encoder = make_encoder(settings, generator=generator)
        self.decoder = Decoder(settings, self.encoder.width)
        init_weights(self.decoder, generator)
        with torch.no_grad():
            self.decoder.mask_token.normal_(std=_MASK_TOKEN_STD, generator=generator)

    def forward(
        self,
        frames_BTHWC: Tensor,
        mask_BN: Tensor,
        *,
        hidden: int,
        decode_BN: Tensor | None = None,
        decoded: int | None = None,
        weight_BN: Tensor | None = None,
    ) -> MAEOutput:
        """One step: encode what is visible, predict what is hidden, compare.

        Args:
            frames_BTHWC: uint8, or float in [0, 1]; RGB.
            mask_BN: bool, True = hidden from the encoder; ``hidden`` of them in each sample.
            hidden: how many tokens the mask hides.
            decode_BN: bool, the hidden tokens that are predicted; none: all. The decoder then
                sees only these and the visible ones, so that what it predicts differs a little
                from the same tokens of a full decoding.
            decoded: how many these are in each sample; to be given with ``decode_BN``.
            weight_BN: float, weight of each token in the loss; none: 1. See ``area_weight``.

        Raises:
            SettingsError: sizes that do not fit, or impossible counts. The counts are compared
                with the masks on the CPU only: elsewhere it would make the device wait.
        """
        if (decode_BN is None) != (decoded is None):
            raise SettingsError("decode_BN and decoded must be given together")
        visible_BV, index_BM = self.split(mask_BN, hidden)
        if decode_BN is not None and decoded is not None:
            if decoded > hidden:
                raise SettingsError(f"{decoded} tokens to decode, but only {hidden} are hidden")
            _, index_BM = self.split(decode_BN, decoded)
        latent_BVD = self.encode(frames_BTHWC, visible_BV)
        prediction_BMp = self.decode(latent_BVD, visible_BV, index_BM)
        error_BM = self.error(prediction_BMp, self.target(frames_BTHWC, index_BM))
        weight_BM = None if weight_BN is None else weight_BN.gather(1, index_BM)
        loss = self.loss(error_BM, weight_BM)
        return MAEOutput(loss, error_BM.detach(), index_BM, prediction_BMp.detach())

    def split(self, mask_BN: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Numbers of the tokens that are not in the mask, (B, N - count), and that are, (B, count).

        Both ascend. ``count`` must be the number of True in each row.
        """
        tokens = self.settings.grid.tokens
        if mask_BN.ndim != 2 or mask_BN.shape[1] != tokens or mask_BN.dtype != torch.bool:
            raise SettingsError(
                f"mask is {mask_BN.dtype} {tuple(mask_BN.shape)}, but the model takes bool "
                f"(batch, {tokens})"
            )
        if not 0 < count < tokens:
            raise SettingsError(f"a mask of {count} tokens of {tokens}: 1 to {tokens - 1} can be")
        if mask_BN.device.type == "cpu" and not torch.compiler.is_compiling():
            found_B = mask_BN.sum(1)
            if bool((found_B != count).any()):
                raise SettingsError(
                    f"the mask has {found_B.tolist()} tokens in its samples, not {count} in each"
                )
        # A stable sort puts the tokens outside first, each part in order: no count is asked for.
        order_BN = mask_BN.to(torch.uint8).argsort(dim=1, stable=True)
        return order_BN[:, : tokens - count], order_BN[:, tokens - count :]

    def encode(self, frames_BTHWC: Tensor, visible_BV: Tensor) -> Tensor:
        """Frames to the encoded visible tokens (B, V, D), normed."""
        return self.encoder(frames_BTHWC, visible_BV)

    def decode(self, latent_BVD: Tensor, visible_BV: Tensor, index_BM: Tensor) -> Tensor:
        """Encoded visible tokens to predicted pixels of tokens ``index_BM``, (B, M, p)."""
        return self.decoder(latent_BVD, visible_BV, index_BM)

    @torch.no_grad()
    def target(self, frames_BTHWC: Tensor, index_BM: Tensor) -> Tensor:
        """True pixels of tokens ``index_BM``, float32 (B, M, p), as the model shall predict them.

        With ``normalise_target``, each token and colour has its mean taken out and is divided by
        its standard deviation (unbiased) + 1e-6, both of pixels in [0, 1]; flat tokens are 0.
        """
        check_frames(frames_BTHWC, self.settings.grid)
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
        """Mean of the tokens' errors over the batch, weighted; 0 where all weights are 0."""
        if weight_BM is None:
            return error_BM.mean()
        weight_BM = weight_BM.to(error_BM.dtype)
        return (error_BM * weight_BM).sum() / weight_BM.sum().clamp(min=1e-12)

    @torch.no_grad()
    def predict(self, frames_BTHWC: Tensor, mask_BN: Tensor, *, hidden: int) -> Prediction:
        """Predicts all hidden tokens, for pictures: nothing of the hidden pixels is used."""
        grid = self.settings.grid
        visible_BV, index_BM = self.split(mask_BN, hidden)
        latent_BVD = self.encode(frames_BTHWC, visible_BV)
        prediction_BMp = self.decode(latent_BVD, visible_BV, index_BM).float()
        known = patch_statistics(take_patches(frames_BTHWC, grid, visible_BV))
        guess = spread_statistics(known, visible_BV, index_BM, grid)
        pixels_BMp = prediction_BMp
        if self.settings.normalise_target:
            pixels_BMp = with_statistics(prediction_BMp, guess)
        return Prediction(index_BM, prediction_BMp, guess, pixels_BMp.clamp(0, 1))


def with_statistics(prediction_BMp: Tensor, statistics: PatchStatistics) -> Tensor:
    """Normalised pixels to pixels with the given mean and deviation, (B, M, p); not clamped.

    With the true statistics of hidden tokens the answer leaks: such a picture has to say so.
    """
    pattern_BMqC = prediction_BMp.unflatten(2, (-1, CHANNELS))
    mean_BM1C, std_BM1C = (values.unsqueeze(2) for values in statistics)
    return (pattern_BMqC * std_BM1C + mean_BM1C).flatten(2)


def area_weight(inside_BN: Tensor, outside: float | Tensor) -> Tensor:
    """Weight of each token in the loss: 1 inside the motion area, ``outside`` elsewhere.

    A sample without a motion area (nothing inside) has weight 1 everywhere.

    Args:
        inside_BN: bool.
        outside: at least 0; a tensor, where it changes under ``torch.compile``.

    Raises:
        SettingsError: a negative weight.
    """
    if not isinstance(outside, Tensor) and outside < 0:
        raise SettingsError(f"weight {outside} outside the motion area: 0 is the least")
    nothing_B1 = ~inside_BN.any(dim=1, keepdim=True)
    return torch.where(inside_BN | nothing_B1, 1.0, outside)
