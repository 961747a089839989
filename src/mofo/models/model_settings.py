"""What a user can choose about the model: its sizes and the grid of tokens that it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, TypeVar, get_type_hints

from mofo.registry import choice
from mofo.types import SettingsError, TokenGrid

CHANNELS = 3
S = TypeVar("S")

# Encoder and decoder: width, blocks, heads. "nano" and "tiny" are for tests and for a CPU; the
# others are VideoMAE's (arXiv 2203.12602, section 3 and appendix).
_SIZES = {
    "nano": (64, 2, 2, 32, 1, 2),
    "tiny": (192, 6, 3, 128, 2, 2),
    "small": (384, 12, 6, 192, 4, 3),
    "base": (768, 12, 12, 384, 4, 6),
    "large": (1024, 24, 16, 512, 4, 8),
}
_SIZE_FIELDS = ("width", "depth", "heads", "decoder_width", "decoder_depth", "decoder_heads")
SIZES = tuple(_SIZES)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Choices that decide the weights' shapes and how a step is computed. Defaults: ViT-B.

    ``ModelSettings.named("small", drop_path=0.1)`` starts from a named size.

    Attributes:
        grid: frames, pixels and tokens of a clip.
        encoder: one of ``models.encoder.ENCODERS``. The sizes below are a vision transformer's;
            another encoder uses what it needs of them.
        encoder_config: of encoders that need more than sizes: plain data.
        width, depth, heads: of the encoder: channels of a token, blocks, attention heads.
        decoder_width, decoder_depth, decoder_heads: the same of the decoder.
        drop_path: chance in [0, 1) that the encoder's last block skips one of its branches for a
            sample in training; it grows linearly from 0 at the first block.
        activation_checkpointing: keep only the inputs of blocks and compute the rest again in the
            backward pass: far less memory, about a third more time.
        normalise_target: predict pixels with mean and deviation of their token and colour taken
            out (VideoMAE); otherwise pixels in [0, 1].
        target_width: channels that are predicted of each hidden token, of another encoder's
            features; 0: its pixels.
        final_norm: pre-training: with a LayerNorm behind the encoder. Only for weights of programs
            that have none there.
        norm_eps, head_norm_eps: epsilon of all LayerNorms, and of the one before the decoder's
            head. For weights of other programs, whose numbers are to come out the same.

    Raises:
        SettingsError: one line with everything that is wrong.
    """

    grid: TokenGrid = field(default_factory=lambda: TokenGrid(16, 224, 224))
    encoder: str = "vit"
    encoder_config: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    width: int = 768
    depth: int = 12
    heads: int = 12
    decoder_width: int = 384
    decoder_depth: int = 4
    decoder_heads: int = 6
    drop_path: float = 0.0
    activation_checkpointing: bool = False
    normalise_target: bool = True
    target_width: int = 0
    final_norm: bool = True
    norm_eps: float = 1e-6
    head_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        problems = [
            f"{name} {value} is not a whole number above 0"
            for name in _SIZE_FIELDS
            if not isinstance(value := getattr(self, name), int) or value < 1
        ]
        if not problems:
            problems += [
                f"{prefix}width {width} is not a multiple of {prefix}heads {heads}"
                for prefix, width, heads in (
                    ("", self.width, self.heads),
                    ("decoder_", self.decoder_width, self.decoder_heads),
                )
                if width % heads
            ]
        if not isinstance(self.target_width, int) or self.target_width < 0:
            problems.append(f"target_width {self.target_width} is not a whole number from 0")
        if not 0 <= self.drop_path < 1:
            problems.append(f"drop_path {self.drop_path} is not in [0, 1)")
        problems += [
            f"{name} {value} is not in (0, 0.1)"
            for name in ("norm_eps", "head_norm_eps")
            if not 0 < (value := getattr(self, name)) < 0.1
        ]
        if problems:
            raise SettingsError("model: " + "; ".join(problems))

    @classmethod
    def named(cls, size: str, **options: Any) -> ModelSettings:
        """The size of that name, with other options on top.

        Raises:
            SettingsError: unknown size, or an option with an impossible value.
        """
        choice("model size", size, SIZES)
        return cls(**(dict(zip(_SIZE_FIELDS, _SIZES[size], strict=True)) | options))

    def to_dict(self) -> dict[str, Any]:
        """Numbers and words only, for JSON; the grid is a part of its own."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ModelSettings:
        """What ``to_dict`` gave.

        Raises:
            SettingsError: it holds something else.
        """
        return settings_from(cls, content)

    @property
    def token_pixels(self) -> int:
        """Numbers in a token's block of pixels, colours counted: 1536 for 2x16x16."""
        return self.grid.tubelet * self.grid.patch**2 * CHANNELS


def misfits(own: Mapping[str, Any], given: Mapping[str, Any], shape: Callable[[Any], Any]) -> str:
    """What of tensors by name has another shape than a model's own, is missing, or unknown."""
    wrong = [
        f"{name} is {shape(given[name])}, not {shape(tensor)}"
        for name, tensor in own.items()
        if name in given and shape(given[name]) != shape(tensor)
    ]
    problems = {
        "other shapes": wrong,
        "missing": sorted(own.keys() - given.keys()),
        "unknown": sorted(given.keys() - own.keys()),
    }
    return "; ".join(
        f"{title}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for title, names in problems.items()
        if names
    )


def settings_from(kind: type[S], content: Any) -> S:
    """Returns settings from plain data, as ``dataclasses.asdict`` gives it."""
    if not isinstance(content, Mapping):
        raise SettingsError(f"{kind.__name__}: {content!r} instead of keys with values")
    kinds = get_type_hints(kind)
    if unknown := sorted(set(content) - set(kinds)):
        raise SettingsError(f"{kind.__name__}: unknown key {unknown[0]!r}: of a newer version?")
    try:
        return kind(
            **{
                name: settings_from(kinds[name], value) if is_dataclass(kinds[name]) else value
                for name, value in content.items()
            }
        )
    except TypeError as error:
        raise SettingsError(f"{kind.__name__}: {error}") from None
