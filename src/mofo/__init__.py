"""Motion-focused self-supervised video learning.

    import mofo
    area = mofo.detect("walk.mp4")

Names are imported when they are first used: ``import mofo`` costs nothing.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {name: home for home, name in re.findall(r"from (\S+) import (\w+)", _STUB)}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mofo")
    elif name == "report":  # the package is called like its function, and can be called
        value = importlib.import_module("mofo.report")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'mofo' has no attribute {name!r}")
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
