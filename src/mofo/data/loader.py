"""The loader: worker processes that turn keys into batches, in the order that they are given."""

from __future__ import annotations

from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from mofo.data.batch import ClipBatch, collate
from mofo.data.clips import ClipDataset


def clip_loader(
    dataset: ClipDataset, order: Sampler[Any], *, workers: int, pin: bool
) -> DataLoader[ClipBatch]:
    """Batches of clips.

    Args:
        dataset: gives clips for keys.
        order: lists of keys, one list a batch.
        workers: processes that read; 0: this one does.
        pin: put batches into page-locked memory, for a GPU.
    """
    return DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        worker_init_fn=_one_thread if workers else None,
    )


def _one_thread(worker: int) -> None:
    # There are as many workers as processors; threads on top would only get in each other's way.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
