"""The seam between encoders and all that uses one: classifiers, pre-training, probes, features.

An encoder turns a clip into tokens. Whatever has the methods of ``Encoder`` can be pre-trained,
fine-tuned, probed and embedded; register its class to use it in recipes:

    @ENCODERS.register("conv")
    class Conv(Encoder): ...

    ModelSettings(encoder="conv", width=64)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mofo.masking.kept_tokens import TokenSettings
from mofo.models.model_settings import ModelSettings
from mofo.registry import Registry
from mofo.types import SettingsError, TokenGrid


def _own() -> None:
    import mofo.models.hf.family
    import mofo.models.vit  # noqa: F401


ENCODERS: Registry[type[Encoder]] = Registry("encoder", _own)


class Encoder(nn.Module):
    """A clip to its tokens.

    Args:
        settings: grid, width and depth; an encoder uses what it needs.
        final_norm: with a LayerNorm behind the last layer, as in pre-training. A classifier has
            its own behind the fusion, and none here.
        generator: for the weights at the start; None: one with seed 0.

    Attributes:
        grid: the tokens of a clip.
        width: channels of a token.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        final_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.grid: TokenGrid = settings.grid
        self.width: int = settings.width

    def forward(self, frames_BTHWC: Tensor, keep_BV: Tensor | None = None) -> Tensor:
        """Frames to the tokens of the last layer, (B, V, D).

        Args:
            frames_BTHWC: uint8, or float in [0, 1]; RGB.
            keep_BV: int64, ascending numbers of the tokens to compute, see ``TokenGrid``. Nothing
                of the pixels of other tokens may reach them. None: all N tokens.

        Raises:
            SettingsError: frames of another size than the grid's.
        """
        raise NotImplementedError

    def layers(
        self, frames_BTHWC: Tensor, numbers: Sequence[int], keep_BV: Tensor | None = None
    ) -> list[Tensor]:
        """All tokens, (B, N, D), or the kept ones behind each of these layers, in their order.

        Args:
            frames_BTHWC, keep_BV: as in ``forward``.
            numbers: from 0, the embedding, to ``depth``, the last layer, with its final norm.
        """
        raise NotImplementedError

    @classmethod
    def keeps(cls, settings: ModelSettings) -> str:
        """What ``keep_BV`` may hold: "any" tokens, of each "slot" as many, or "all" there are."""
        return "any"

    def layer_groups(self) -> list[nn.Module]:
        """Parts from the pixels up: the embedding, then the layers.

        Freezing and layer-wise learning rates go by them.
        """
        raise NotImplementedError

    @property
    def depth(self) -> int:
        """Number of the last layer."""
        return len(self.layer_groups()) - 1


def make_encoder(
    settings: ModelSettings,
    *,
    final_norm: bool = True,
    generator: torch.Generator | None = None,
) -> Encoder:
    """Returns a new encoder of the kind ``settings.encoder``; see ``Encoder``."""
    kind = ENCODERS[settings.encoder]
    return kind(settings, final_norm=final_norm, generator=generator)


def keeps_slots(settings: ModelSettings) -> bool:
    """Whether an encoder needs as many tokens of each time slot."""
    return ENCODERS[settings.encoder].keeps(settings) == "slot"


def check_keeps(settings: ModelSettings, tokens: TokenSettings) -> None:
    """Raises a SettingsError if an encoder cannot leave out tokens that it is to leave out."""
    if tokens.leaves_out and ENCODERS[settings.encoder].keeps(settings) == "all":
        family = settings.encoder_config.get("config", {}).get("model_type", settings.encoder)
        raise SettingsError(
            f"tokens.keep {tokens.keep:g}: encoders of the family {family!r} cannot leave tokens "
            "out: keep all (1), or take another encoder"
        )
