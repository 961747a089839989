"""Encoders of Hugging Face's transformers behind our seam. ``FAMILIES`` holds them, by their
``model_type``; each is one class that says about itself what the rest of the code asks.

    settings, weights, note = open_hf_encoder("hf:facebook/vjepa2-vitl-fpc64-256")
    encoder = make_encoder(settings)

The settings hold the whole configuration, so that a checkpoint of ours needs nothing beside it.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mofo.models.encoder import ENCODERS, Encoder
from mofo.models.model_settings import ModelSettings
from mofo.models.patches import check_frames, full_scale
from mofo.registry import Registry
from mofo.types import SettingsError


def side(value: Any) -> int:
    """A side that a configuration may give for both, or for each."""
    return int(value if isinstance(value, int) else value[-1])


class Shape(NamedTuple):
    """What a model takes by its configuration: frames, pixels a side, and pixels of a token."""

    frames: int
    size: int
    tubelet: int
    patch: int


class Family(ABC):
    """The models of one ``model_type``.

    Attributes:
        model: name of the class in transformers.
        licence: of the published weights, in a few words.
        by_frames: it sees one frame at a time. A token's time is its frame's; with a tubelet of
            several frames their tokens are averaged.
        fixed: its positions are learned for one number of frames and one size of them.
        keeps: it can compute a part of the tokens only, as if the others were not there.
        pyramid: its layers before the last have other tokens than the grid's, or another order.
        pixels: name of the argument with the pixels.
        prefix: tokens before those of the grid (class, registers).
        norm: name of what stands behind the last layer.
    """

    model: ClassVar[str]
    licence: ClassVar[str]
    by_frames: ClassVar[bool] = False
    fixed: ClassVar[bool] = False
    keeps: ClassVar[bool] = False
    pyramid: ClassVar[bool] = False
    pixels: ClassVar[str] = "pixel_values"
    prefix: int = 0
    norm: ClassVar[str] = "layernorm"

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    @abstractmethod
    def shape(self) -> Shape:
        """Frames and pixels of the configuration."""

    def width(self) -> int:
        """Channels of a token."""
        return int(self.config["hidden_size"])

    def depth(self) -> int:
        """Number of layers."""
        return int(self.config["num_hidden_layers"])

    def fit(self, config: Any, settings: ModelSettings) -> None:  # noqa: B027
        """Changes transformers' configuration for clips of another size, where it has to know."""

    def build(self, config: Any) -> nn.Module:
        """The model with weights as at the start of a training, without what is not used here."""
        return getattr(importlib.import_module("transformers"), self.model)(config)

    def part(self, model: nn.Module) -> nn.Module:
        """What is used of a whole model."""
        return model

    def groups(self, model: Any) -> list[nn.Module]:
        """The embedding, then the layers."""
        return [model.embeddings, *model.encoder.layer]

    def embed(self, model: Any, pixels: Tensor) -> Tensor:
        """All tokens before the first layer."""
        return self.groups(model)[0](pixels)

    def options(self, model: Any, pixels: Tensor, keep: Tensor) -> dict[str, Any]:
        """What each layer is told beside its input where tokens are left out."""
        return {}

    def tokens(self, model: Any, pixels: Tensor, keep: Tensor | None) -> Tensor:
        """Output behind the last norm, as the model gives it.

        Args:
            model: of transformers.
            pixels: clips, or the frames of all of them.
            keep: numbers of the tokens to compute, of each clip or frame as many; None: all.
        """
        if keep is None:
            return model(**{self.pixels: pixels}).last_hidden_state
        hidden, options = self.embed(model, pixels), self.options(model, pixels, keep)
        kept = hidden[:, self.prefix :].gather(1, keep[..., None].expand(-1, -1, hidden.shape[2]))
        hidden = torch.cat([hidden[:, : self.prefix], kept], 1)
        for layer in self.groups(model)[1:]:
            output = layer(hidden, **options)
            hidden = output[0] if isinstance(output, tuple) else output
        return getattr(model, self.norm)(hidden)

    def arrange(self, hidden: Tensor, settings: ModelSettings, frames: int) -> Tensor:
        """Output of any layer as tokens in the order of a ``TokenGrid``, (B, N, D)."""
        tokens = hidden[:, self.prefix :]
        if not self.by_frames:
            return tokens
        tokens = tokens.unflatten(0, (-1, frames))  # (B, T, P, D)
        tokens = tokens.unflatten(1, (-1, settings.grid.tubelet)).mean(2)
        return tokens.flatten(1, 2)


def _own() -> None:
    from mofo.models.hf import frame_families, video_families  # noqa: F401


FAMILIES: Registry[type[Family]] = Registry("family of encoders", _own)


@ENCODERS.register("hf")
class HuggingFaceEncoder(Encoder):
    """A model of transformers. Frames are prepared as its own preprocessing says.

    Its last norm stays where it is, also in a classifier: what its published features are is behind
    that norm.
    """

    scale_C: Tensor
    shift_C: Tensor

    def __init__(
        self,
        settings: ModelSettings,
        *,
        final_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(settings)
        content = settings.encoder_config
        try:
            config = dict(content["config"])
            mean, std = content["mean"], content["std"]
            scale, shift = float(content["scale"]), float(content["shift"])
        except (KeyError, TypeError, ValueError):
            raise SettingsError(
                "encoder 'hf' has no configuration: begin with the model's folder (hf:PATH)"
            ) from None
        self.family = FAMILIES[config["model_type"]](config)
        self._settings = settings
        self._check_shape()
        built = config_of(config)
        self.family.fit(built, settings)
        seed = (generator or torch.Generator().manual_seed(0)).initial_seed()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = self.family.part(self.family.build(built))
        # (frames in [0, 1] * 255 * scale + shift - mean) / std, colour by colour
        std_C = torch.tensor(std)
        self.register_buffer("scale_C", scale * 255 / std_C)
        self.register_buffer("shift_C", (shift - torch.tensor(mean)) / std_C)

    def _check_shape(self) -> None:
        grid, own = self._settings.grid, self.family.shape()
        problems = []
        if grid.patch != own.patch or (not self.family.by_frames and grid.tubelet != own.tubelet):
            problems.append(f"tokens of {own.tubelet}x{own.patch}x{own.patch}")
        if self.family.fixed and (grid.frames, grid.height) != (own.frames, own.size):
            problems.append(f"clips of {own.frames} frames of {own.size} pixels")
        if grid.height != grid.width:
            problems.append("square frames")
        if problems:
            raise SettingsError(
                f"encoder of the family {self.family.config['model_type']!r} takes "
                f"{' and '.join(problems)}, not {grid.frames} frames of {grid.width}x{grid.height} "
                f"in tokens of {grid.tubelet}x{grid.patch}x{grid.patch}: see data.frames, "
                "data.size, model.tubelet, model.patch"
            )

    def pixels(self, frames_BTHWC: Tensor) -> Tensor:
        """Frames as the model takes them: (B, T, C, H, W), or (B*T, C, H, W) one at a time."""
        check_frames(frames_BTHWC, self.grid)
        scale_C = self.scale_C / full_scale(frames_BTHWC)
        pixels = frames_BTHWC.to(self.scale_C.dtype) * scale_C + self.shift_C
        pixels = pixels.movedim(-1, 2)
        return pixels.flatten(0, 1) if self.family.by_frames else pixels

    def forward(self, frames_BTHWC: Tensor, keep_BV: Tensor | None = None) -> Tensor:
        """See ``Encoder``."""
        if keep_BV is not None and not self.family.keeps:
            raise SettingsError(
                f"encoders of the family {self.family.config['model_type']!r} cannot leave tokens "
                "out"
            )
        pixels, keep = self.pixels(frames_BTHWC), self._keep(keep_BV)
        hidden = self.family.tokens(self.model, pixels, keep)
        return self.family.arrange(hidden, self._settings, frames_BTHWC.shape[1])

    @classmethod
    def keeps(cls, settings: ModelSettings) -> str:
        """See ``Encoder``; models of single frames compute of each frame as many."""
        family = FAMILIES[settings.encoder_config["config"]["model_type"]]
        return ("slot" if family.by_frames else "any") if family.keeps else "all"

    def _keep(self, keep_BV: Tensor | None) -> Tensor | None:
        """Tokens of clips as tokens of what the model sees at once: clips, or their frames."""
        if keep_BV is None or not self.family.by_frames:
            return keep_BV
        grid = self._settings.grid
        if keep_BV.shape[1] % grid.t:
            raise SettingsError(
                f"encoders of the family {self.family.config['model_type']!r} see single frames: "
                f"keep of each of {grid.t} time slots as many tokens, not {keep_BV.shape[1]}"
            )
        keep_BtK = keep_BV.unflatten(1, (grid.t, -1)) % grid.positions
        return keep_BtK.repeat_interleave(grid.tubelet, 1).flatten(0, 1)

    def layers(
        self, frames_BTHWC: Tensor, numbers: Sequence[int], keep_BV: Tensor | None = None
    ) -> list[Tensor]:
        """See ``Encoder``."""
        outputs: dict[int, Tensor] = {}

        def note(number: int, output: Any) -> None:
            outputs[number] = output[0] if isinstance(output, tuple) else output

        groups = self.family.groups(self.model)
        last_number = len(groups) - 1
        if self.family.pyramid and min(numbers) < last_number:
            raise SettingsError(
                f"layers of the family {self.family.config['model_type']!r} before the last have "
                "other tokens: take the last (-1)"
            )
        handles = [
            groups[number].register_forward_hook(
                lambda _, __, output, number=number: note(number, output)
            )
            for number in set(numbers) - {last_number}
        ]
        try:
            pixels, keep = self.pixels(frames_BTHWC), self._keep(keep_BV)
            last = self.family.tokens(self.model, pixels, keep)
        finally:
            for handle in handles:
                handle.remove()
        outputs[last_number] = last
        frames = frames_BTHWC.shape[1]
        found = [self.family.arrange(outputs[n], self._settings, frames) for n in numbers]
        if keep_BV is None:
            return found
        # Behind some embeddings all tokens are still there.
        index_BVD = keep_BV[..., None].expand(-1, -1, self.width)
        whole = self.grid.tokens
        return [t.gather(1, index_BVD) if t.shape[1] == whole else t for t in found]

    def layer_groups(self) -> list[nn.Module]:
        """See ``Encoder``; what stands behind the layers (a norm) goes with the last one."""
        groups = self.family.groups(self.model)
        grouped = {id(p) for group in groups for p in group.parameters()}
        behind = [
            module
            for module in self.model.children()
            if any(id(p) not in grouped for p in module.parameters())
        ]
        return [*groups[:-1], nn.ModuleList([groups[-1], *behind])]


def config_of(content: Mapping[str, Any]) -> Any:
    """transformers' configuration from its content as plain data."""
    try:
        from transformers import AutoConfig
    except ImportError:
        raise SettingsError(
            "encoders of Hugging Face need transformers: pip install 'mofo[hf]'"
        ) from None
    content = dict(content)
    try:
        return AutoConfig.for_model(content.pop("model_type"), **content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"transformers do not take its configuration: {reason}") from None
