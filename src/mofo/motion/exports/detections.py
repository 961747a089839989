"""Movers as objects of the package supervision, to draw, track and count with it."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from mofo.motion.identities import identities
from mofo.types import MofoError, MotionArea


def to_detections(area: MotionArea) -> list[Any]:
    """Of each frame ``supervision.Detections``: ``xyxy``, ``class_id`` 0, ``tracker_id``.

    Raises:
        MofoError: supervision is not installed.
    """
    try:
        make: Any = importlib.import_module("supervision").Detections
    except ImportError:
        raise MofoError("to_supervision needs supervision: pip install supervision") from None
    return [
        make(
            xyxy=boxes_K4.astype(np.float32),
            class_id=np.zeros(len(boxes_K4), int),
            tracker_id=numbers_K,
        )
        for boxes_K4, numbers_K in zip(area.movers, identities(area), strict=True)
    ]
