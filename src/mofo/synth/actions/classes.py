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
    """

    name: str
    path: str
    backwards: bool
    family: str
    template: str


# Class, path ("-": backwards), family, sentence.
_TABLE = """
left              sideways   one  something moves to the left
right             -sideways  one  something moves to the right
up                upright    one  something moves up
down              -upright   one  something moves down
towards           depth      one  something comes nearer, time and again
away              -depth     one  something goes away, time and again
clockwise         turning    one  something turns clockwise
counterclockwise  -turning   one  something turns counter-clockwise
stopping          halting    one  something moves along, then stops
starting          -halting   one  something stands still, then moves along
dropping          falling    one  something hangs, then drops faster and faster
rising            -falling   one  something shoots up slower and slower, then hangs
bouncing          bouncing   one  something bounces on a floor
swaying           swaying    one  something sways from side to side
meeting           closing    two  two things move to each other and stay together
parting           -closing   two  two things stand together, then move apart
pushing           pushing    two  one thing comes up to another and pushes it along
pulling           -pushing   two  one thing pulls another along, then leaves it behind
passing           passing    two  two things pass each other
returning         returning  two  two things meet and turn back
"""
CLASSES: dict[str, ActionClass] = {
    name: ActionClass(name, path.removeprefix("-"), path[0] == "-", family, template)
    for name, path, family, template in (row.split(None, 3) for row in _TABLE.strip().splitlines())
}
