from __future__ import annotations

import pytest

from helpers.trees import Make, maker


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a real video of half a second wherever it is asked for: mp4, webm or any name."""
    return maker(tmp_path_factory.mktemp("tiny"))
