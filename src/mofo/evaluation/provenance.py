"""Where motion areas come from in a test: as a user names it, and as the data set wants it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from mofo.clips.view_clips import PROVENANCES
from mofo.motion.store import AreaStore
from mofo.training.saved_models import SavedClassifier
from mofo.types import SettingsError, StoreError

FOUND = ("codec", "dis")  # ways of finding areas while reading
USING_AREAS = ("cross_attention", "weighted_mean")  # fusions


@dataclass(frozen=True, eq=False)
class AreaChoice:
    """Where areas come from.

    Attributes:
        areas, provenance: see ``ViewSettings``.
        store: opened, or None.
        line: the same for a reader.
    """

    areas: str
    provenance: str
    store: AreaStore | None
    line: str

    def close(self) -> None:
        """Lets go of the store's files."""
        if self.store is not None:
            self.store.close()


def choose_areas(
    areas: str, store: str | Path | None, saved: SavedClassifier, *, seed: int = 0
) -> AreaChoice:
    """What a test does about motion areas.

    Args:
        areas: "detected": from the store or, without one, found as in the model's training;
            "codec", "dis": found in that way; the folder of a store: from there; "truth": exact
            ones, from the store; "shuffled": of another video; "centre": the middle of the frame;
            "none": none. A model whose fusion does not use them gets none in any case.
        store: folder with areas, for "detected", "truth" and "shuffled".
        saved: the model.
        seed: of "shuffled".

    Raises:
        SettingsError: names that are unknown or contradict each other.
        StoreError: the store cannot be read.
    """
    trained = saved.sampling.areas
    if areas not in (*PROVENANCES, *FOUND):
        if store is not None:
            raise SettingsError(f"areas {areas!r} and store {store}: give one store")
        return choose_areas("detected", _folder(areas), saved)
    if store is not None and areas in ("none", "centre", *FOUND):
        raise SettingsError(f"areas {areas!r} need no store, but {store} is given: leave one out")
    if areas == "truth" and store is None:
        raise SettingsError('areas "truth" need a store with exact areas: name its folder')
    fusion = saved.settings.fusion
    if fusion not in USING_AREAS:
        return AreaChoice("none", "none", None, f"none: the fusion {fusion!r} does not use them")
    if areas == "none":
        return AreaChoice("none", "none", None, "none")
    if areas == "centre":
        return AreaChoice("none", "centre", None, "the middle of the frame, whatever moves")
    provenance = "detected" if areas in FOUND else areas
    if store is not None:
        opened = AreaStore.open(store)
        source, where = "store", f"store {opened.folder}"
    else:
        opened = None
        source = areas if areas in FOUND else {"store": "dis"}.get(trained, trained)
        where = f"found by {source} in each clip"
        if trained == "store" and areas not in FOUND:
            where += " (in training they came from a store: name it)"
        if source == "none":
            if areas == "shuffled":
                raise SettingsError(
                    "the model was trained without areas: shuffled ones need a store"
                )
            return AreaChoice("none", "none", None, "none, as in training")
    if areas == "shuffled":
        where = f"of another video, shuffled with seed {seed}; {where}"
    elif areas == "truth":
        where = f"the truth; {where}"
    return AreaChoice(source, provenance, opened, where)


def _folder(name: str) -> str:
    known = (*PROVENANCES, *FOUND)
    if not Path(name).is_dir():
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
        raise StoreError(f"{name}: no such folder of a store; {hint}")
    return name
