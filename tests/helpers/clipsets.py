"""Small data sets of clips, with motion areas that need not be detected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from helpers.painted import paint
from mofo.clips.batch import ClipSample
from mofo.clips.dataset import ClipSettings
from mofo.clips.transforms import CropSettings
from mofo.motion.merge import merge, scan
from mofo.motion.parts import write_part
from mofo.motion.presets import DetectSettings
from mofo.types import MotionArea, TokenGrid

SMALL = TokenGrid(4, 32, 32)
SEES_ALL = CropSettings(scales=(1.0,))


def settings(**changes: Any) -> ClipSettings:
    return ClipSettings(**({"grid": SMALL, "motion": "none", "stride": 2} | changes))


def same(one: ClipSample, other: ClipSample) -> bool:
    return all(np.array_equal(value, other.__dict__[name]) for name, value in vars(one).items())


def area_of(box_T4: np.ndarray, width: int, height: int, valid_T: Any = None) -> MotionArea:
    valid_T = np.ones(len(box_T4), bool) if valid_T is None else np.asarray(valid_T)
    box_T4 = np.where(valid_T[:, None], box_T4, 0).astype(np.float32)
    movers = tuple(
        box_4[None] if valid else np.zeros((0, 4), np.float32)
        for box_4, valid in zip(box_T4, valid_T, strict=True)
    )
    times = np.arange(len(box_T4))
    return MotionArea(width, height, times, times / 25, box_T4, valid_T, movers, flow="dis")


def store_of(folder: Path, areas: dict[str, MotionArea]) -> Path:
    folder.mkdir(exist_ok=True)
    for key, area in areas.items():
        write_part(folder, key, f"/somewhere/{key}", 1, area, DetectSettings())
    merge(scan(folder, DetectSettings()))
    return folder


def write_painted(path: Path, box_T4: np.ndarray, width: int, height: int, **how: Any) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "4", "g": "9"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        if how:
            stream.set_display_rotation(how["degrees"], hflip=how["mirrored"])
        for image in paint(box_T4, width, height):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path
