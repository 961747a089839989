"""Photographs that ship inside ordinary packages, used as real textures for generated clips.

Nothing is downloaded and no media lies in this repository: scikit-learn and matplotlib (both
required) carry three photographs, scikit-image (extra ``test``) about a dozen more. Two splits
share no photograph, so a method can be designed on one and judged on the other.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from mofo.types import MofoError

# package, path inside it. Aerial, microscope and texture pictures count as photographs here.
_PHOTOS: dict[str, tuple[tuple[str, str], ...]] = {
    "tune": (
        ("sklearn", "datasets/images/china.jpg"),
        ("skimage", "data/coffee.png"),
        ("skimage", "data/astronaut.png"),
        ("skimage", "data/brick.png"),
        ("skimage", "data/gravel.png"),
        ("skimage", "data/camera.png"),
        ("skimage", "data/retina.jpg"),
    ),
    "test": (
        ("sklearn", "datasets/images/flower.jpg"),
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        ("skimage", "data/chelsea.png"),
        ("skimage", "data/rocket.jpg"),
        ("skimage", "data/grass.png"),
        ("skimage", "data/motorcycle_left.png"),
        ("skimage", "data/coins.png"),
        ("skimage", "data/ihc.png"),
    ),
}
SPLITS = ("tune", "test", "all")


@lru_cache(maxsize=4)
def photographs(split: str = "all") -> tuple[np.ndarray, ...]:
    """The installed photographs of a split, each uint8 RGB ``(H, W, 3)``, in a fixed order.

    Args:
        split: "tune", "test" (no photograph in both) or "all".
    """
    entries = [
        entry
        for name in (("tune", "test") if split == "all" else (split,))
        for entry in _PHOTOS[name]
    ]
    pictures = [_read(path) for path in map(_locate, entries) if path is not None]
    if not pictures:
        raise MofoError(
            f"no photographs for the split {split!r}: install scikit-image (pip install mofo[test])"
        )
    return tuple(pictures)


def installed_picture(package: str, inside: str) -> np.ndarray | None:
    """The picture at path ``inside`` of a package, uint8 RGB ``(H, W, 3)``; None without it."""
    path = _locate((package, inside))
    return None if path is None else _read(path)


def _locate(entry: tuple[str, str]) -> Path | None:
    package, inside = entry
    # find_spec does not import a top-level package, so this costs nothing.
    spec = importlib.util.find_spec(package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(root) / inside).is_file():
            return path
    return None


def _read(path: Path) -> np.ndarray:
    bgr_HW3 = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr_HW3 is None:
        raise MofoError(f"{path}: the photograph cannot be read; reinstall its package")
    picture_HW3 = cv2.cvtColor(bgr_HW3, cv2.COLOR_BGR2RGB)
    picture_HW3.flags.writeable = False  # shared by the cache
    return picture_HW3
