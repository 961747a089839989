"""The classes of the motion-actions set: named by how things move, never by what they are.

Classes are grouped into two *families* that show the same objects: ``one`` thing or ``two``. Within
a family a single frame says nothing about the class (why: ``mofo.synth.actions.motion_paths``). A
class and its ``reverse`` are the same paths run backwards, so that even all frames of a clip, but
without their order, say nothing about which of the two it is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ActionClass:
    """One class.

    Attributes:
        name: of the class, as it is written to the catalog.
        path: which function of ``paths`` draws it.
        backwards: the path is run from its end to its start.
        family: "one" or "two" things.
        template: the sentence that a person would say.
    """

    name: str
    path: str
    backwards: bool
    family: str
    template: str


def _pair(path: str, family: str, first: tuple[str, str], second: tuple[str, str]) -> tuple:
    return (
        ActionClass(first[0], path, False, family, first[1]),
        ActionClass(second[0], path, True, family, second[1]),
    )


CLASSES: dict[str, ActionClass] = {
    one.name: one
    for one in (
        *_pair(
            "sideways",
            "one",
            ("left", "something moves to the left"),
            ("right", "something moves to the right"),
        ),
        *_pair("upright", "one", ("up", "something moves up"), ("down", "something moves down")),
        *_pair(
            "depth",
            "one",
            ("towards", "something comes nearer, time and again"),
            ("away", "something goes away, time and again"),
        ),
        *_pair(
            "turning",
            "one",
            ("clockwise", "something turns clockwise"),
            ("counterclockwise", "something turns counter-clockwise"),
        ),
        *_pair(
            "halting",
            "one",
            ("stopping", "something moves along, then stops"),
            ("starting", "something stands still, then moves along"),
        ),
        *_pair(
            "falling",
            "one",
            ("dropping", "something hangs, then drops faster and faster"),
            ("rising", "something shoots up slower and slower, then hangs"),
        ),
        ActionClass("bouncing", "bouncing", False, "one", "something bounces on a floor"),
        ActionClass("swaying", "swaying", False, "one", "something sways from side to side"),
        *_pair(
            "closing",
            "two",
            ("meeting", "two things move to each other and stay together"),
            ("parting", "two things stand together, then move apart"),
        ),
        *_pair(
            "pushing",
            "two",
            ("pushing", "one thing comes up to another and pushes it along"),
            ("pulling", "one thing pulls another along, then leaves it behind"),
        ),
        ActionClass("passing", "passing", False, "two", "two things pass each other"),
        ActionClass("returning", "returning", False, "two", "two things meet and turn back"),
    )
}


def family_of(name: str) -> str:
    """The family, "one" or "two", of a class."""
    return CLASSES[name].family


def families(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Family -> its classes among ``names``, in their order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(family_of(name), []).append(name)
    return {family: tuple(members) for family, members in found.items()}


def opposites(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of classes among ``names`` of which one is the other run backwards."""
    forwards = {CLASSES[name].path: name for name in names if not CLASSES[name].backwards}
    return tuple(
        (forwards[CLASSES[name].path], name)
        for name in names
        if CLASSES[name].backwards and CLASSES[name].path in forwards
    )
