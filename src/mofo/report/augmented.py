"""Pictures of what a fine-tuning gives its model: augmented clips, their areas, their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.report.lettering import QUIET, text_block
from mofo.report.mask_pictures import draw_mask
from mofo.report.overlays import draw_box
from mofo.report.sheet import GAP, INNER, beside, make_folder, page, save_png, stacked
from mofo.training.finetune_step import FinetunePass

_MOMENTS = 8
_NAMES = 3  # of the classes of a target
_BETWEEN = 24  # pixels between clips
_NOTES = (
    "Upper row: the clip as it was cut, with the motion area of the moment. Lower row: what the "
    "model gets, with the motion area in tokens.",
)


def write_augmented(
    batch: ClipBatch, one_pass: FinetunePass, path: str | Path, *, title: str = "", clips: int = 4
) -> None:
    """Draws clips of a batch before and after augmentation, as strips, with what is to be said.

    Args:
        batch: clips, on any device.
        one_pass: augments them.
        path: ``.png``.
        title: of the sheet; none: the file's name.
        clips: how many at most, spread evenly over the batch.

    Raises:
        MofoError: the file cannot be written.
    """
    given = one_pass.augmented(batch)
    grid = one_pass.augmentation.grid
    inside_Bthw = given.inside_BN.reshape(-1, grid.t, grid.h, grid.w).cpu().numpy()
    classes = one_pass.targets.labels.classes
    moments = sorted({round(t) for t in np.linspace(0, grid.frames - 1, _MOMENTS)})
    # Whole tokens, so that their outlines lie on pixels.
    token = max(4, ((INNER + GAP) // len(moments) - GAP) // grid.w)
    count = max(1, min(clips, len(batch)))
    films = []
    for clip in ((2 * k + 1) * len(batch) // (2 * count) for k in range(count)):
        before, after = [], []
        for t in moments:
            cut_HW3 = _scaled(batch.frames_BTHWC[clip, t], grid.w * token, grid.h * token)
            if batch.valid_BT[clip, t]:
                scale = cut_HW3.shape[1] / grid.width
                draw_box(cut_HW3, batch.box_BT4[clip, t].cpu().numpy() * scale, 2)
            got_HW3 = _scaled(given.frames_BTHWC[clip, t], grid.w * token, grid.h * token)
            inside_hw = inside_Bthw[clip, t // grid.tubelet]
            before.append(cut_HW3)
            after.append(draw_mask(got_HW3, np.zeros_like(inside_hw), inside_hw))
        rows = stacked([beside(before), beside(after)])
        film = [_heading(batch, given.targets, classes, clip, rows.shape[1]), rows]
        films.append(stacked(film))
    make_folder(path)
    title = title or Path(path).stem.replace("_", " ")
    save_png(page(stacked(films, _BETWEEN), title=title, notes=_NOTES), path)


def target_text(target_C: Sequence[float], names: Sequence[str]) -> str:
    """The classes of a target, those with most first: "push" or "push 0.72, pull 0.28"."""
    order = sorted(range(len(names)), key=lambda number: -target_C[number])
    told = [number for number in order if target_C[number] > 0]
    if not told:
        return "no class"
    if len(told) == 1 and target_C[told[0]] == 1:
        return names[told[0]]
    more = f" and {len(told) - _NAMES} more" if len(told) > _NAMES else ""
    return ", ".join(f"{names[k]} {target_C[k]:.2f}" for k in told[:_NAMES]) + more


def _heading(
    batch: ClipBatch,
    targets: Mapping[str, Tensor],
    classes: Mapping[str, Sequence[str]],
    clip: int,
    width: int,
) -> np.ndarray:
    """The file, and what is to be said about the clip, by head."""
    several = len(classes) > 1
    said = [
        (f"{head}: " if several else "") + target_text(targets[head][clip].tolist(), names)
        for head, names in classes.items()
    ]
    return stacked(
        [
            text_block(" · ".join(said), width, size=16, bold=True),
            text_block(Path(batch.path[clip]).name, width, size=14, colour=QUIET),
        ],
        0,
    )


def _scaled(frame_HW3: Tensor, width: int, height: int) -> np.ndarray:
    """A new picture of a frame."""
    picture_HW3 = frame_HW3.cpu().numpy()
    smaller = width < picture_HW3.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(picture_HW3, (width, height), interpolation=how)
