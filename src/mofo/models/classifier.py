"""The classifier: encoder over the tokens, a fusion that may use the motion area, heads.

MOFO (Ahmadian et al., arXiv 2308.12447); with fusion ``mean`` it is VideoMAE's
(Tong et al., arXiv 2203.12602).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import SPANS, MotionSettings, inside_tokens
from mofo.masking.kept_tokens import TokenSettings
from mofo.models.encoder import check_keeps, keeps_slots, make_encoder
from mofo.models.fusion import FUSIONS, fusion_heads, make_fusion
from mofo.models.heads import Heads, check_classes
from mofo.models.hub import HubModel
from mofo.models.layers import init_weights
from mofo.models.model_settings import ModelSettings, misfits, settings_from
from mofo.registry import unknown
from mofo.types import SettingsError

_NOT_NEEDED = ("decoder.", "encoder.norm.")


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """What a classifier is built from.

    Attributes:
        model: the encoder: size, grid, drop path. The decoder's sizes are not used. The epsilon of
            the fusion's LayerNorms is ``norm_eps``, of the heads' ``head_norm_eps``.
        classes: number of classes of each head: ``{"label": 174}``, ``{"verb": 97, "noun": 300}``;
            joint actions are one head with a class for each pair.
        labels: "single": one class of each head is true; "multi": any number of them.
        fusion: one of ``FUSIONS``: "cross_attention" is MOFO's, "mean" VideoMAE's.
        fusion_heads: of its attention; None: 3, or 4 where the width is no multiple of 3.
        fusion_options: further ones of its class, plain data.
        area_span: the motion area of a token: of the whole "clip", the same in all time slots, or
            of its own "tubelet". See ``MotionSettings``.
        motion_threshold: motion of a token, in (0, 1], from which on it is inside, where motion is
            given as a field.
        motion: how motion becomes that of tokens.
        tokens: which tokens the encoder computes.

    Raises:
        SettingsError: one line with everything that is wrong.
    """

    classes: dict[str, int]
    model: ModelSettings = field(default_factory=lambda: ModelSettings(drop_path=0.1))
    labels: str = "single"
    fusion: str = "cross_attention"
    fusion_heads: int | None = None
    fusion_options: dict[str, Any] = field(default_factory=dict)
    area_span: str = "clip"
    motion_threshold: float = 0.5
    motion: MotionSettings = field(default_factory=MotionSettings)
    tokens: TokenSettings = field(default_factory=TokenSettings)

    def __post_init__(self) -> None:
        problems = check_classes(self.classes, self.labels)
        for check, values in (
            (FUSIONS.check, (self.fusion,)),
            (fusion_heads, (self.model.width, self.fusion_heads)),
            (check_keeps, (self.model, self.tokens)),
        ):
            try:
                check(*values)
            except SettingsError as error:
                problems.append(str(error))
        if self.area_span not in SPANS:
            problems.append(unknown("area_span", self.area_span, SPANS))
        if not 0 < self.motion_threshold <= 1:
            problems.append(f"motion_threshold {self.motion_threshold} is not in (0, 1]")
        if problems:
            raise SettingsError("classifier: " + "; ".join(problems))

    def to_dict(self) -> dict[str, Any]:
        """Numbers and words only, for JSON; the encoder's settings are a part of their own."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ClassifierSettings:
        """What ``to_dict`` gave.

        Raises:
            SettingsError: it holds something else.
        """
        return settings_from(cls, content)


class Classifier(nn.Module, HubModel):
    """Clips and their motion areas to logits.

    Args:
        settings: sizes and options.
        generator: draws the weights; none: one with seed 0.
    """

    settings_type = ClassifierSettings

    def __init__(
        self, settings: ClassifierSettings, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        model = settings.model
        self.settings = settings
        self.frozen_blocks = 0
        # The LayerNorm stands behind the fusion, in the heads.
        self.encoder = make_encoder(model, final_norm=False, generator=generator)
        self.fusion = make_fusion(
            settings.fusion,
            self.encoder.width,
            settings.fusion_heads,
            model.norm_eps,
            **settings.fusion_options,
        )
        norm_eps = model.head_norm_eps if self.fusion.norms else None
        self.head = Heads(self.encoder.width, settings.classes, norm_eps)
        for part in (self.fusion, self.head):
            init_weights(part, generator)
        self.fusion.init_extra(generator)
        self.head.shrink()

    def forward(
        self,
        frames_BTHWC: Tensor,
        inside_BN: Tensor | None = None,
        keep_BV: Tensor | None = None,
        *,
        return_attention: bool = False,
    ) -> Any:
        """Logits, float32 (B, classes), by the heads' names.

        Args:
            frames_BTHWC: uint8, or float in [0, 1]; RGB.
            inside_BN: bool, tokens inside the motion area (``area``); or float in [0, 1], how much
                each token moves by itself (``inside``). None: nothing moves, in no sample.
            keep_BV: int64, ascending numbers of the tokens to compute (``kept``); None: all.
            return_attention: give a pair: the logits, and the fusion's weights (B, heads, Q, N),
                see ``Fusion``. They take much memory: for pictures.

        Raises:
            SettingsError: frames or areas of another size.
        """
        tokens_BVD = self.encoder(frames_BTHWC, keep_BV)
        fused = self.fuse(tokens_BVD, inside_BN, keep_BV, return_attention=return_attention)
        if return_attention:
            return self.head(fused[0]), fused[1]
        return self.head(fused)

    def fuse(
        self,
        tokens_BVD: Tensor,
        inside_BN: Tensor | None = None,
        keep_BV: Tensor | None = None,
        *,
        return_attention: bool = False,
    ) -> Any:
        """Tokens of the encoder to features (B, D), before LayerNorm and heads.

        Args:
            tokens_BVD: all, or those of ``keep_BV``.
            inside_BN, keep_BV, return_attention: as in ``forward``.
        """
        shape = torch.Size((tokens_BVD.shape[0], self.encoder.grid.tokens))
        if inside_BN is None:
            inside_BN = torch.zeros(shape, dtype=torch.bool, device=tokens_BVD.device)
        if inside_BN.shape != shape or inside_BN.dtype == torch.uint8:
            raise SettingsError(
                f"the motion area is {inside_BN.dtype} {tuple(inside_BN.shape)}, but the model "
                f"takes bool or floats in [0, 1], {tuple(shape)}"
            )
        if inside_BN.dtype != torch.bool:
            inside_BN = self.inside(inside_BN)
        inside_BV = inside_BN if keep_BV is None else inside_BN.gather(1, keep_BV)
        return self.fusion(tokens_BVD, inside_BV, return_attention=return_attention)

    def inside(self, motion_BN: Tensor) -> Tensor:
        """Motion of tokens, in [0, 1], to the tokens inside, bool (B, N), as the settings say."""
        return inside_of(self.settings, motion_BN)

    def motion(self, clips: ClipBatch) -> Tensor:
        """Motion of the tokens of clips (B, N), as ``forward`` takes it: bool or in [0, 1]."""
        return motion_of(self.settings, clips)

    def kept(self, clips: ClipBatch) -> Tensor | None:
        """The tokens of clips to compute, as ``forward`` takes them; None: all."""
        model = self.settings.model
        return self.settings.tokens.of_clips(clips, model.grid, per_slot=keeps_slots(model))

    def kept_groups(self, clips: ClipBatch) -> list[tuple[Tensor, Tensor]] | None:
        """Rows of clips that keep as many tokens, and those; None: all keep as many.

        It waits for the device.
        """
        model = self.settings.model
        return self.settings.tokens.groups(clips, model.grid, per_slot=keeps_slots(model))

    def layer_names(self) -> list[set[str]]:
        """Names of the parameters of each of the encoder's layers, from the pixels up."""
        name_of = {id(parameter): name for name, parameter in self.named_parameters()}
        groups = self.encoder.layer_groups()
        return [{name_of[id(p)] for p in group.parameters()} for group in groups]

    def freeze(self, blocks: int) -> None:
        """Stops the training of the encoder's embedding and of its first ``blocks`` layers.

        They are in evaluation mode from now on: no drop path there.
        """
        self.frozen_blocks = blocks
        for part in self._frozen():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Classifier:
        """Training or evaluation mode; frozen parts stay in the latter."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        if not self.frozen_blocks:
            return []
        return self.encoder.layer_groups()[: self.frozen_blocks + 1]


def motion_of(settings: ClassifierSettings, clips: ClipBatch) -> Tensor:
    """Motion of the tokens of clips (B, N): bool of boxes, float in [0, 1] of fields."""
    return settings.motion.tokens(clips, settings.model.grid, settings.area_span).flatten(1)


def inside_of(settings: ClassifierSettings, motion_BN: Tensor) -> Tensor:
    """Tokens that count as inside, bool (B, N), by what ``motion_of`` gives."""
    motion_BtP1 = motion_BN.unflatten(1, (settings.model.grid.t, -1, 1))
    return inside_tokens(motion_BtP1, settings.motion_threshold, settings.area_span).flatten(1)


class LoadReport(NamedTuple):
    """What became of the weights of a pre-training.

    ``loaded``, ``dropped``: names of the tensors that were taken over, and that were not needed.
    ``made_for``: grid (t, h, w) the weights were made for; positions are interpolated from it.
    """

    loaded: tuple[str, ...]
    dropped: tuple[str, ...]
    made_for: tuple[int, ...]
    grid: tuple[int, ...]

    def __str__(self) -> str:
        text = f"{len(self.loaded)} tensors of the encoder loaded"
        if self.dropped:
            text += f", {len(self.dropped)} of decoder and last norm not needed"
        if self.made_for != self.grid:
            made_for, grid = ("x".join(map(str, sizes)) for sizes in (self.made_for, self.grid))
            text += f"; positions interpolated from {made_for} to {grid} tokens"
        return text


def load_encoder(
    model: Classifier, weights: Mapping[str, Tensor], source: str = "weights"
) -> LoadReport:
    """Loads the encoder of a pre-training, by name; fusion and heads stay as they are.

    The decoder is left out, and so is the encoder's last norm: a classifier has its own behind the
    fusion. All else must be there and fit.

    Args:
        model: is changed only if everything fits.
        weights: state of a ``MaskedAutoencoder``.
        source: where they come from, for the error.

    Raises:
        SettingsError: one line with what is missing, unknown or of another shape.
    """
    prefix = "encoder."
    own = {prefix + name: tensor for name, tensor in model.encoder.state_dict().items()}
    dropped = tuple(name for name in weights if name.startswith(_NOT_NEEDED))
    loaded = {name: tensor for name, tensor in weights.items() if name not in set(dropped)}
    if problems := misfits(own, loaded, lambda tensor: tuple(tensor.shape)):
        raise SettingsError(
            f"{source}: does not fit this encoder (model size, tubelet, patch): {problems}"
        )
    model.encoder.load_state_dict({name.removeprefix(prefix): t for name, t in loaded.items()})
    grid = model.settings.model.grid
    sizes = (grid.t, grid.h, grid.w)
    known = loaded.get(f"{prefix}positions.made_for")  # an encoder may have no positions
    made_for = sizes if known is None else tuple(known.tolist())
    return LoadReport(tuple(loaded), dropped, made_for, sizes)
