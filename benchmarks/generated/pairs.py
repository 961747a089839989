"""Classes of the motion-actions set that are to be compared: families, and opposites."""

from __future__ import annotations

from mofo.synth.actions.classes import CLASSES


def families(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Family -> its classes among ``names``, in their order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(CLASSES[name].family, []).append(name)
    return {family: tuple(members) for family, members in found.items()}


def opposites(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of classes among ``names`` of which one is the other run backwards."""
    forwards = {CLASSES[name].path: name for name in names if not CLASSES[name].backwards}
    return tuple(
        (forwards[CLASSES[name].path], name)
        for name in names
        if CLASSES[name].backwards and CLASSES[name].path in forwards
    )
