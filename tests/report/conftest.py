from __future__ import annotations

import pytest

from generated.clips import ClipRecipe, make_clip, write_clip


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """A folder of three small files of 24 frames; nothing moves in the last one."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, movers in enumerate((1, 1, 0)):
        recipe = ClipRecipe(
            seed=seed, movers=movers, area=(0.05, 0.1), frames=24, width=128, height=96
        )
        write_clip(make_clip(recipe), folder / f"clip{seed}.mp4")
    return folder


@pytest.fixture
def video(videos):
    return videos / "clip0.mp4"
