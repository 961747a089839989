"""What a user can choose about the detection of motion areas."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mofo.types import SettingsError

FLOWS = ("dis", "farneback", "tvl1", "codec")
PRESETS = ("default", "paper")


@dataclass(frozen=True, kw_only=True)
class DetectSettings:
    """Choices that change the result of a detection, and so the identity of a store.

    Attributes:
        preset: "default" (ours) or "paper" (arXiv 2308.12447, without the released defects).
        flow: backend of the optical flow; empty means the preset's own ("dis" for default, "tvl1"
            for paper).
        short_side: frames are scaled down (never up) to this short side for the analysis, pixels.

    Raises:
        SettingsError: unknown preset or flow, short side under 32.
    """

    preset: str = "default"
    flow: str = ""
    short_side: int = 240

    def __post_init__(self) -> None:
        _one_of("preset", self.preset, PRESETS)
        if not self.flow:
            object.__setattr__(self, "flow", "tvl1" if self.preset == "paper" else "dis")
        _one_of("flow", self.flow, FLOWS)
        if self.short_side < 32:
            raise SettingsError(f"short_side is {self.short_side}: 32 pixels are the least")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise SettingsError(f"{name} {value!r} is unknown: choose from {', '.join(known)}{hint}")
