"""Frozen encoders: tokens of any layer, from a checkpoint or with random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.clips.token_area import MotionSettings
from mofo.masking.kept_tokens import TokenSettings
from mofo.models.encoder import make_encoder
from mofo.models.model_settings import ModelSettings
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.metadata import Sampling
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.saved_models import SavedEncoder, encoder_weights, fit_weights
from mofo.types import SettingsError, TokenGrid

_ENCODER, _NORM = "encoder.", "norm."


class FrozenEncoder(nn.Module):
    """An encoder that only answers: no gradients, nothing random.

    Tokens are normalised, each by itself, whatever the layer. The last layer has the norm that the
    encoder was trained with, as its decoder gets it. Other layers have none of their own, and
    neither has the encoder of a fine-tuned model, whose norm stands behind the fusion: they get one
    without gains. Without any norm a few tokens of large length would decide every mean; and to
    probes, which standardise each channel, gains and shifts make no difference. ``weights``: of the
    encoder, by name ("encoder.blocks. ..."); None: drawn at random. ``area_span``, ``motion``:
    motion area of a token, see ``MotionSettings``. ``digest``: of the weights, in hexadecimal; the
    same for the same numbers.
    """

    def __init__(
        self,
        settings: ModelSettings,
        weights: Mapping[str, Tensor] | None = None,
        *,
        name: str,
        sampling: Sampling | None = None,
        area_span: str = "clip",
        motion: MotionSettings | None = None,
        tokens: TokenSettings | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.tokens = tokens or TokenSettings()
        self.settings, self.name, self.area_span = settings, name, area_span
        self.motion = motion or MotionSettings()
        self.sampling = sampling or Sampling()
        self.encoder = make_encoder(settings, generator=torch.Generator().manual_seed(seed))
        if weights is not None:
            own = {
                key.removeprefix(_ENCODER): tensor
                for key, tensor in weights.items()
                if key.startswith(_ENCODER)
            }
            # A fine-tuned encoder has no last norm.
            norm = {k: t for k, t in self.encoder.state_dict().items() if k.startswith(_NORM)}
            fit_weights(self.encoder, norm | own, name)
        self.requires_grad_(False)
        self.eval()
        self.digest = _digest(self.encoder.state_dict())

    def layer(self, number: int | None) -> int:
        """The number of a layer, from 0 (patches before the first block) to ``depth``.

        ``number``: None: the last one; below 0: counted from the end, -1 is the last one.
        """
        depth = self.encoder.depth
        chosen = depth if number is None else number if number >= 0 else depth + 1 + number
        if not 0 <= chosen <= depth:
            raise SettingsError(
                f"layer {number}: {self.name} has {depth} blocks: 0 (patches) to {depth}, or "
                f"-1 (the last) to -{depth + 1}"
            )
        return chosen

    @torch.no_grad()
    def forward(
        self, frames_BTHWC: Tensor, layer: int | None = None, keep_BV: Tensor | None = None
    ) -> Tensor:
        """Frames, uint8 or float in [0, 1], to normalised tokens of a layer, (B, N, D).

        ``layer``: see ``layer``. ``keep_BV``: the tokens to compute, see ``Encoder``; None: all.
        """
        number, encoder = self.layer(layer), self.encoder
        [tokens_BND] = encoder.layers(frames_BTHWC, [number], keep_BV)
        if number == encoder.depth:
            return tokens_BND
        width = (tokens_BND.shape[2],)
        return F.layer_norm(tokens_BND, width, eps=self.settings.norm_eps)


def open_encoder(path: str | Path) -> FrozenEncoder:
    """The encoder of a checkpoint or run, pre-trained or fine-tuned, or of ``hf:PATH``."""
    return frozen(encoder_weights(path))


def frozen(saved: SavedEncoder, grid: TokenGrid | None = None) -> FrozenEncoder:
    """A saved encoder, frozen; for clips of another grid where one is given."""
    return FrozenEncoder(
        replace(saved.settings, grid=grid or saved.settings.grid),
        saved.weights,
        name=saved.note or saved.name,
        sampling=saved.sampling,
        area_span=saved.area_span,
        motion=saved.motion,
        tokens=saved.tokens,
    )


def random_encoder(config: str | Path, seed: int = 0) -> FrozenEncoder:
    """An encoder that has learned nothing, of the sizes of a recipe or of a checkpoint.

    ``config``: recipe (YAML) of a pre-training or a fine-tuning, or a checkpoint or run.
    """
    name = f"random weights (seed {seed}), sizes of {config}"
    if Path(config).is_dir():
        like = open_encoder(config)
        return FrozenEncoder(
            like.settings,
            name=name,
            sampling=like.sampling,
            area_span=like.area_span,
            motion=like.motion,
            tokens=like.tokens,
            seed=seed,
        )
    settings, sampling = _recipe(config)
    return FrozenEncoder(settings, name=name, sampling=sampling, seed=seed)


def _recipe(path: str | Path) -> tuple[ModelSettings, Sampling]:
    """Sizes and sampling, from a recipe of either kind."""
    needed = [("data.source", "none"), ("run.out", "none")]  # not asked for here
    try:
        found: Any = PretrainSettings.from_yaml(path, needed)
        data = found.data
        return found.model_settings(), Sampling(**data.cut())
    except SettingsError as error:
        try:
            found = FinetuneSettings.from_yaml(path, needed)
        except SettingsError:
            raise error from None
    model, data = found.model, found.data
    grid = found.grid(model.tubelet or 2, model.patch or 16)
    return (
        ModelSettings.named(model.size or "base", grid=grid),
        Sampling(**data.cut()),
    )


def _digest(weights: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        found.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
