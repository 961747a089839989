from __future__ import annotations

import sys
from pathlib import Path

import pytest

# For the module "trees", however pytest is started.
sys.path[:0] = [str(Path(__file__).parent)]

from trees import Make, maker  # noqa: E402


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a real video of half a second wherever it is asked for: mp4, webm or any name."""
    return maker(tmp_path_factory.mktemp("tiny"))
