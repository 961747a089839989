"""Three levels of difficulty of the motion-actions set. Nothing in a level depends on the class."""

from __future__ import annotations

from dataclasses import dataclass

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


LEVELS: dict[str, Level] = {
    "easy": Level(
        classes=_EASY,
        size_one=(0.22, 0.50),
        size_two=(0.18, 0.26),
        stage_one=0.88,
        stage_two=0.5,
        travel=(0.55, 0.85),
        swing=8.0,
        turn=(140.0, 240.0),
        cycle_one=(1.1, 1.4),
        cycle_two=(0.8, 1.0),
        cameras=("static",),
        camera_pace=0.0,
        contrast=(0.3, 0.5),
        distance=60.0,
        blur=(0.0, 4.0),
        noise=(0.5, 2.0),
        crf=(18, 22),
        still_things=0,
        restless=0.0,
        foreground=0.0,
    ),
    "medium": Level(
        classes=_MEDIUM,
        size_one=(0.18, 0.42),
        size_two=(0.15, 0.24),
        stage_one=0.85,
        stage_two=0.5,
        travel=(0.45, 0.85),
        swing=15.0,
        turn=(110.0, 240.0),
        cycle_one=(1.1, 1.5),
        cycle_two=(0.8, 1.0),
        cameras=("static", "static", "pan", "zoom"),
        camera_pace=0.6,
        contrast=(0.5, 0.9),
        distance=35.0,
        blur=(0.0, 5.0),
        noise=(0.5, 3.0),
        crf=(18, 26),
        still_things=1,
        restless=0.0,
        foreground=0.0,
    ),
    "hard": Level(
        classes=tuple(CLASSES),
        size_one=(0.15, 0.36),
        size_two=(0.13, 0.22),
        stage_one=0.85,
        stage_two=0.5,
        travel=(0.40, 0.85),
        swing=22.0,
        turn=(90.0, 240.0),
        cycle_one=(1.1, 1.6),
        cycle_two=(0.8, 1.0),
        cameras=("static", "pan", "zoom", "rotate", "handheld", "handheld"),
        camera_pace=1.0,
        contrast=(0.7, 1.0),
        distance=25.0,
        blur=(0.0, 6.0),
        noise=(1.0, 5.0),
        crf=(18, 30),
        still_things=2,
        restless=0.3,
        foreground=0.6,
    ),
}


def level_named(name: str) -> Level:
    """The level of that name."""
    return LEVELS[choice("level", name, LEVELS)]
