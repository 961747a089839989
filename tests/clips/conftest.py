from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mofo.datasets.catalog import Video, read_catalog


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of 60, 60 and 5 frames that show their numbers."""
    from helpers.numbered import write_numbered

    made = tmp_path_factory.mktemp("videos")
    write_numbered(made / "a.mp4", 60, bf="3", g="12")
    write_numbered(made / "b.mp4", 60, bf="0", g="60")
    write_numbered(made / "c.mp4", 5)
    return made


@pytest.fixture
def videos(folder: Path) -> Sequence[Video]:
    return read_catalog([folder]).videos
