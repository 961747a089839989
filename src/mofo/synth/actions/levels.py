"""Three levels of difficulty of the motion-actions set. Nothing in a level depends on the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mofo.registry import choice
from mofo.synth.actions.classes import CLASSES

_EASY = ("left", "right", "up", "down", "towards", "away", "clockwise", "counterclockwise")
_TWO = ("meeting", "parting", "pushing", "pulling")
_MEDIUM = (*_EASY, "stopping", "starting", "dropping", "rising", *_TWO)

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Level:
    """What a level draws from. Lengths are in sides of the (square) frame.

    Attributes:
        classes: names, in the order of their numbers.
        size_one, size_two: square root of an object's area, alone and of two; drawn evenly in log.
        stage_one, stage_two: side of the stage (see ``paths``) of one thing and of two.
        swing: spread of headings around left, right, up and down, degrees.
        turn: turn over the whole clip, degrees.
        cycle_one, cycle_two: length of a cycle (growing; meeting) in clips; below 1: more than one
            in a clip.
        cameras: kinds of ``camera_path``, equally likely.
        contrast: of the background, 1 is the photograph's own.
        distance: least difference of mean grey value between object and background.
        blur: standard deviation of the lens blur, in thousandths of a side.
        crf: constant quality of the H.264 file.
        foreground: probability of a near layer when the camera is hand-held (parallax).
    """

    classes: tuple[str, ...]
    size_one: Range
    size_two: Range
    stage_one: float
    stage_two: float
    travel: Range
    swing: float
    turn: Range
    cycle_one: Range
    cycle_two: Range
    cameras: tuple[str, ...]
    camera_pace: float
    contrast: Range
    distance: float
    blur: Range
    noise: Range
    crf: tuple[int, int]
    still_things: int
    restless: float
    foreground: float

    def stage(self, family: str) -> float:
        """Side of the stage of a family of classes, "one" or "two"."""
        return self.stage_one if family == "one" else self.stage_two


# Easy, medium, hard.
_TABLE: dict[str, tuple[Any, Any, Any]] = {
    "classes": (_EASY, _MEDIUM, tuple(CLASSES)),
    "size_one": ((0.22, 0.50), (0.18, 0.42), (0.15, 0.36)),
    "size_two": ((0.18, 0.26), (0.15, 0.24), (0.13, 0.22)),
    "stage_one": (0.88, 0.85, 0.85),
    "stage_two": (0.5, 0.5, 0.5),
    "travel": ((0.55, 0.85), (0.45, 0.85), (0.40, 0.85)),
    "swing": (8.0, 15.0, 22.0),
    "turn": ((140.0, 240.0), (110.0, 240.0), (90.0, 240.0)),
    "cycle_one": ((1.1, 1.4), (1.1, 1.5), (1.1, 1.6)),
    "cycle_two": ((0.8, 1.0), (0.8, 1.0), (0.8, 1.0)),
    "cameras": (
        ("static",),
        ("static", "static", "pan", "zoom"),
        ("static", "pan", "zoom", "rotate", "handheld", "handheld"),
    ),
    "camera_pace": (0.0, 0.6, 1.0),
    "contrast": ((0.3, 0.5), (0.5, 0.9), (0.7, 1.0)),
    "distance": (60.0, 35.0, 25.0),
    "blur": ((0.0, 4.0), (0.0, 5.0), (0.0, 6.0)),
    "noise": ((0.5, 2.0), (0.5, 3.0), (1.0, 5.0)),
    "crf": ((18, 22), (18, 26), (18, 30)),
    "still_things": (0, 1, 2),
    "restless": (0.0, 0.0, 0.3),
    "foreground": (0.0, 0.0, 0.6),
}
LEVELS = {
    name: Level(**{field: values[place] for field, values in _TABLE.items()})
    for place, name in enumerate(("easy", "medium", "hard"))
}


def level_named(name: str) -> Level:
    """The level of that name."""
    return LEVELS[choice("level", name, LEVELS)]
