"""Draws pictures of README and concepts: python docs/_site/pictures.py."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image

from mofo.clips.token_area import token_area
from mofo.datasets.sample_videos import real_clips
from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings, Watch
from mofo.report.figures.layout import beside, stacked, text_block
from mofo.report.figures.marks import draw_area
from mofo.report.figures.overlays import video_frames
from mofo.report.figures.stages import flow_picture, map_picture
from mofo.types import MotionArea, TokenGrid

mpl.use("agg")
IMAGES = Path(__file__).parents[1] / "images"
ORANGE, BLUE = "#e66f00", "#1f6fb4"
FRAMES = [171, 203]  # two shots of bikes.mp4: cars behind a fence, a walker beside a bicycle


def main() -> None:
    """All of them, from a real clip."""
    bikes = real_clips()["bikes"]
    fusion(bikes, street(bikes), FRAMES[0])


def street(video: Path) -> MotionArea:
    """What `mofo show motion` draws, with letters that can be read in a narrow column."""
    settings, watch = DetectSettings(), Watch(frozenset(FRAMES))
    area = analyse(video, settings, watch=watch)
    size = (332, 142)
    names = ("frame", "optical flow", "beyond the camera", "motion area")
    rows = [beside([text_block(name, size[0], size=24, bold=True, height=32) for name in names])]
    for t, frame_HW3 in video_frames(video, size, FRAMES):
        flow_HW3 = flow_picture(watch.flows[t], size)
        map_HW3 = map_picture(watch.maps[t], size, settings.preset)
        rows.append(beside([frame_HW3, flow_HW3, map_HW3, draw_area(frame_HW3, area, t)]))
    sheet = Image.fromarray(stacked(rows))
    sheet.save(IMAGES / "street.jpg", quality=88, optimize=True)
    return area


def fusion(video: Path, area: MotionArea, t: int) -> None:
    """What motion cross-attention does with the tokens of a frame."""
    from matplotlib import pyplot as plt
    from matplotlib.patches import ConnectionPatch, Rectangle

    height, width = 176, 416  # 11 x 26 patches of 16
    [(_, frame_HW3)] = video_frames(video, (width, height), [t])
    grid = TokenGrid(2, height, width)
    scale = np.array([width / area.width, height / area.height] * 2, np.float32)
    box_BT4 = torch.tensor(np.stack([area.box_T4[t] * scale] * 2))[None]
    inside_hw = token_area(box_BT4, torch.ones(1, 2, dtype=torch.bool), grid)[0, 0].numpy()

    figure = plt.figure(figsize=(11, 3.1), dpi=130)
    left = figure.add_axes((0.01, 0.14, 0.50, 0.72))
    left.imshow(frame_HW3)
    for (y, x), inside in np.ndenumerate(inside_hw):
        colour, thick = (ORANGE, 1.2) if inside else ("#ffffff66", 0.4)
        cell = (16 * x, 16 * y)
        left.add_patch(Rectangle(cell, 16, 16, fill=False, edgecolor=colour, linewidth=thick))
    left.set_title("tokens: inside the motion area, and outside", fontsize=10)
    left.set_axis_off()
    right = figure.add_axes((0.54, 0.0, 0.45, 1.0))
    right.set(xlim=(0, 10), ylim=(0, 6))
    right.set_axis_off()
    for y, colour, text in (
        (4.0, ORANGE, "tokens inside:\nqueries"),
        (0.9, BLUE, "tokens outside:\nkeys and values"),
    ):
        shape = Rectangle((0.2, y), 3.5, 1.2, facecolor=colour, alpha=0.15, edgecolor=colour)
        right.add_patch(shape)
        right.text(1.95, y + 0.6, text, ha="center", va="center", fontsize=9)
    for x, wide, text in ((5.0, 2.2, "cross-\nattention,\nmean"), (8.0, 1.8, "classes")):
        right.add_patch(Rectangle((x, 2.4), wide, 1.3, facecolor="#f0f0f0", edgecolor="#555555"))
        right.text(x + wide / 2, 3.05, text, ha="center", va="center", fontsize=9)
    for start, end in (
        ((3.7, 4.6), (5.0, 3.4)),
        ((3.7, 1.5), (5.0, 2.7)),
        ((7.2, 3.05), (8, 3.05)),
    ):
        right.add_patch(
            ConnectionPatch(
                start, end, "data", "data", arrowstyle="-|>", mutation_scale=12, color="#333333"
            )
        )
    figure.savefig(IMAGES / "fusion.jpg", pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()
