"""Whether a checkpoint belongs to a run: settings, videos and labels must be the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mofo.clips.sources import MOTION_SOURCES
from mofo.training.checkpoint import Checkpoint
from mofo.training.metadata import Metadata
from mofo.training.tasks import Task
from mofo.types import SettingsError

# Digests of a task's data, and what it means that they differ.
_ABOUT_DATA = {
    "labels": "other labels of the videos",
    "validated": "other validation videos, or other labels of them",
    "target": "other weights of the encoder whose features are predicted",
}


def check_same_run(checkpoint: Checkpoint, task: Task, out: str) -> None:
    """Whether a run can go on from a checkpoint.

    Paths may differ between machines, and what is in the section ``run`` changes nothing but for
    the seed.
    """
    before = checkpoint.metadata
    if before.task != task.name:
        raise SettingsError(
            f"{out} holds a run of task {before.task!r}: use another --run.out for {task.name!r}"
        )
    differing = [
        *_settings(before.settings, task.settings.to_dict()),
        *_videos(before, about_videos(task)),
        *_labels(before, task.metadata()),
    ]
    if differing:
        raise SettingsError(
            f"{out} holds a run with other settings ({'; '.join(differing)}): use them, or another "
            "--run.out"
        )


def about_videos(task: Task) -> dict[str, Any]:
    """What a checkpoint remembers of the videos; where they lie does not matter."""
    rows = [(video.key, video.start, video.end) for video in task.dataset.videos]
    return {"count": len(rows), "names": digest(rows)}


def digest(rows: Any) -> str:
    """Changes when anything in it does, or its order; plain data."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    free = {"data.source", "data.validation", "data.max_unreadable", "target.encoder"}
    areas = {before.get("data", {}).get("areas"), now["data"]["areas"]}
    if not areas & set(MOTION_SOURCES):  # both are stores
        free.add("data.areas")
    return [
        f"{section}.{key} {before.get(section, {}).get(key)!r}, now {value!r}"
        for section, part in now.items()
        if isinstance(part, dict)
        for key, value in part.items()
        if (section != "run" or key == "seed")
        and f"{section}.{key}" not in free
        and before.get(section, {}).get(key) != value
    ]


def _videos(before: Metadata, now: Mapping[str, Any]) -> list[str]:
    count = before.videos.count if before.videos else 0
    if count != now["count"]:
        return [f"{count} videos, now {now['count']}"]
    if before.videos and before.videos.names != now["names"]:
        return [f"other names of the {count} videos"]
    return []


def _labels(before: Metadata, now: Mapping[str, Any]) -> list[str]:
    differing = []
    for head, names in now.get("classes", {}).items():
        known = before.classes.get(head, [])
        if len(known) != len(names):
            differing.append(f"{len(known)} classes of {head!r}, now {len(names)}")
        elif known != names:
            other = next(b for a, b in zip(known, names, strict=True) if a != b)
            differing.append(f"other classes of {head!r}, such as {other!r}")
    if differing:  # labels are numbers of classes
        return differing
    return [
        text for key, text in _ABOUT_DATA.items() if getattr(before, key, "") != now.get(key, "")
    ]
