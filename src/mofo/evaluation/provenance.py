"""Whose motion a model is given in a test: as a user names it, and as clips want it."""

from __future__ import annotations

from pathlib import Path

from mofo.clips.sources import MOTION_SOURCES, MotionChoice
from mofo.registry import unknown
from mofo.training.saved_models import SavedClassifier
from mofo.types import SettingsError, StoreError

DETECTED = "detected"
USING_AREAS = ("cross_attention", "weighted_mean")  # fusions
_WITHOUT_STORE = "dis"  # instead of a store that is not named


def choose_motion(
    areas: str | MotionChoice, store: str | Path | None, saved: SavedClassifier, *, seed: int = 0
) -> MotionChoice:
    """What a test does about motion.

    Args:
        areas: "detected": from the store or, without one, found as in the model's training; a name
            in ``MOTION_SOURCES``; the folder of a store. A model whose fusion does not use motion
            gets none in any case.
        store: folder with motion areas, for "detected", "truth" and "shuffled".
        saved: the model.
        seed: of "shuffled".

    Raises:
        SettingsError: names that are unknown or contradict each other.
        StoreError: the store is not there.
    """
    if isinstance(areas, MotionChoice):
        return areas
    folder = str(store) if store is not None else None
    if areas != DETECTED and areas not in MOTION_SOURCES:
        if folder is not None:
            raise SettingsError(f"areas {areas!r} and store {folder}: give one store")
        if not Path(areas).is_dir():
            known = (DETECTED, *MOTION_SOURCES)
            raise StoreError(f"no such folder of a store; {unknown('areas', areas, known)}")
        areas, folder = DETECTED, areas
    choice = _choice(areas, folder, saved.sampling.areas, seed)
    fusion = saved.settings.fusion
    if fusion not in USING_AREAS:
        return MotionChoice("none", note=f"the fusion {fusion!r} does not use motion")
    return choice


def _choice(areas: str, folder: str | None, trained: str, seed: int) -> MotionChoice:
    if areas not in (DETECTED, "shuffled"):
        return MotionChoice(areas, store=folder)
    if folder is not None:
        source, note = "store", ""
    else:
        source = _WITHOUT_STORE if trained == "store" else trained
        note = "in training it came from a store, name it" if trained == "store" else ""
    if areas == "shuffled":
        if source == "none":
            raise SettingsError("the model was trained without areas: shuffled ones need a store")
        return MotionChoice("shuffled", store=folder, of=source, seed=seed, note=note)
    if source == "none":
        note = "as in training"
    return MotionChoice(source, store=folder, note=note)
