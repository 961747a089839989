"""Photographs that ship inside ordinary packages, used as real textures for generated clips.

Nothing is downloaded and no media lies in this repository: scikit-learn and matplotlib (both
required) carry three photographs, scikit-image (extra ``test``) about a dozen more. Two splits
share no photograph, so a method can be designed on one and judged on the other.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mofo.synth.actions.materials import installed_picture
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
    found = [installed_picture(*entry) for entry in entries]
    pictures = [picture for picture in found if picture is not None]
    if not pictures:
        raise MofoError(
            f"no photographs for the split {split!r}: install scikit-image (pip install mofo[test])"
        )
    return tuple(pictures)
