"""Figures of what a fine-tuning gives its model: augmented clips, their areas, their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.report.figures.films import ClipFrames, Film, Row, moments, write_films
from mofo.report.figures.layout import scaled
from mofo.report.figures.marks import outline_tokens
from mofo.training.finetune_step import FinetuneStep

_NAMES = 3  # of the classes of a target
_ROWS = (Row("the clip as it was cut"), Row("what the model gets"))
_NOTE = "Orange: motion of the moment (clip as it was cut) and tokens inside (what the model gets)."


def write_augmented(
    batch: ClipBatch, one_pass: FinetuneStep, path: str | Path, *, title: str = "", clips: int = 4
) -> None:
    """Draws clips of a batch before and after augmentation, with their targets.

    Args:
        batch: clips, on any device.
        path: ``.png``: some moments; ``.mp4``: all frames.
        title: of the sheet; empty: the file's name.
        clips: how many at most, spread evenly over the batch.
    """
    given = one_pass.augmented(batch)
    grid = one_pass.augmentation.grid
    inside_Bthw = given.inside_BN.reshape(-1, grid.t, grid.h, grid.w).cpu().numpy()

    def film(clip: int) -> Film:
        cut = ClipFrames.of(batch, clip, grid, one_pass.augmentation.motion.shape)
        given_THWC = given.frames_BTHWC[clip].cpu().numpy()

        def tiles(t: int, token: int) -> list[np.ndarray]:
            given_HW3 = scaled(given_THWC[t], grid.w * token, grid.h * token)
            outline_tokens(given_HW3, inside_Bthw[clip, t // grid.tubelet])
            return [cut.marked(t, token), given_HW3]

        classes = one_pass.targets.labels.classes
        return Film(grid, _ROWS, tiles, _heading(batch, given.targets, classes, clip))

    films = [film(clip) for clip in moments(len(batch), clips)]
    title = title or Path(path).stem.replace("_", " ")
    write_films(films, path, title=title, notes=[_NOTE])


def target_text(target_C: Sequence[float], names: Sequence[str]) -> str:
    """Names the classes of a target, largest first: "push" or "push 0.72, pull 0.28"."""
    order = sorted(range(len(names)), key=lambda number: -target_C[number])
    present = [number for number in order if target_C[number] > 0]
    if not present:
        return "no class"
    if len(present) == 1 and target_C[present[0]] == 1:
        return names[present[0]]
    more = f" and {len(present) - _NAMES} more" if len(present) > _NAMES else ""
    return ", ".join(f"{names[k]} {target_C[k]:.2f}" for k in present[:_NAMES]) + more


def _heading(
    batch: ClipBatch, targets: Mapping[str, Tensor], classes: Mapping[str, Sequence[str]], clip: int
) -> str:
    """The targets by head, and the file."""
    texts = [
        (f"{head}: " if len(classes) > 1 else "") + target_text(targets[head][clip].tolist(), names)
        for head, names in classes.items()
    ]
    return " · ".join([*texts, Path(batch.path[clip]).name])
