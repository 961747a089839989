import numpy as np
import pytest
import torch

from generated.clips import ClipRecipe, make_clip
from mofo.motion.detect import detect_many
from mofo.report.figures.chosen_clips import choose_clips
from mofo.types import MofoError, SettingsError, StoreError, TokenGrid, VideoError
from mofo.video.writer import VideoWriter

GRID = TokenGrid(4, 64, 64)


def choose(sources, **options):
    return choose_clips(sources, GRID, **({"stride": 2, "areas": "dis"} | options))


@pytest.fixture(scope="module")
def store(videos, tmp_path_factory):
    """A store that lacks the last video."""
    folder = tmp_path_factory.mktemp("areas")
    few = [videos / "clip0.mp4", videos / "clip1.mp4"]
    detect_many(few, folder, workers=0, progress=False)
    return folder


def test_the_middle_of_each_video(videos):
    found = choose([videos])
    assert [path.rpartition("/")[2] for path in found.batch.path] == [
        "clip0.mp4", "clip1.mp4", "clip2.mp4",
    ]  # fmt: skip
    assert found.batch.start_B.tolist() == [8, 8, 8]  # of 24 frames, 7 are spanned
    assert found.batch.frames_BTHWC.shape == (3, 4, 64, 64, 3)
    assert found.batch.valid_BT.any(1).tolist() == [True, True, False]
    assert (found.areas, found.notes) == ("found by dis in each clip", ())


def test_clips_are_cut_as_in_training(video):
    found = choose([video], seconds=0.9, fit="pad").batch
    assert found.start_B.item() < 4  # nearly the whole of .96 s
    assert not found.frames_BTHWC[:, :, :6].any()  # 128x96 in a square
    assert found.frames_BTHWC[:, :, 20:40].any()


def test_the_seed_decides_the_noise_only(video):
    one, same, other = (choose([video], seed=seed).batch for seed in (0, 0, 1))
    assert torch.equal(one.noise_BN, same.noise_BN)
    assert not torch.equal(one.noise_BN, other.noise_BN)
    for name in ("frames_BTHWC", "box_BT4", "valid_BT", "start_B"):
        assert torch.equal(getattr(one, name), getattr(other, name))


def test_a_few_of_many_videos_are_told(videos):
    found = choose([videos], clips=1)
    assert found.batch.path[0].endswith("clip1.mp4")
    assert found.notes == ("1 of 3 videos are drawn",)
    assert choose([videos], clips=9).notes == ()


def test_areas_from_a_store(videos, store):
    few = [videos / "clip0.mp4", videos / "clip1.mp4"]
    stored, found = choose(few, areas=str(store)), choose(few)
    assert stored.areas == f"store {store}"
    # A whole video's areas know a little more than those of the clip alone.
    assert stored.batch.valid_BT.all()
    difference = (stored.batch.box_BT4 - found.batch.box_BT4).abs()
    assert difference.median() < 6


def test_a_store_that_lacks_a_video(videos, store):
    with pytest.raises(StoreError, match=r"no motion area of .*clip2\.mp4"):
        choose([videos], areas=str(store))
    found = choose([videos], areas=str(store), need_areas=False)
    assert found.areas == "found by dis in each clip"
    (note,) = found.notes
    assert note == f"motion areas found now by dis, as the store {store} lacks clip2.mp4"
    np.testing.assert_array_equal(found.batch.box_BT4, choose([videos]).batch.box_BT4)


def test_a_store_that_is_gone(video, tmp_path):
    gone = str(tmp_path / "gone")
    with pytest.raises(StoreError, match="gone: no such folder"):
        choose([video], areas=gone)
    found = choose([video], areas=gone, need_areas=False)
    assert "found now by dis" in found.notes[0]
    with pytest.raises(StoreError, match=r"dsi: no such folder.* did you mean 'dis'\?"):
        choose([video], areas="dsi")


def test_another_way_of_finding_areas_is_told(tmp_path):
    path = tmp_path / "vp9.webm"
    with VideoWriter(path) as writer:
        for image in make_clip(ClipRecipe(seed=0, frames=12, width=96, height=72)).video_THW3:
            writer.write(image)
    found = choose([path], areas="codec")
    (note,) = found.notes
    assert "no motion vectors that can be used (vp9)" in note
    assert choose([path], areas="none").notes == ()
    assert not choose([path], areas="none").batch.valid_BT.any()


def test_videos_that_cannot_be_used(tmp_path, video):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(VideoError, match=r"text\.mp4: not a video"):
        choose([video, text])
    with pytest.raises(MofoError, match="nowhere: does not exist"):
        choose([tmp_path / "nowhere"])
    with pytest.raises(SettingsError, match="clips is 0"):
        choose([video], clips=0)
    (tmp_path / "list.csv").write_text("path\ngone.mp4\n")
    with pytest.raises(MofoError, match=r"gone\.mp4: does not exist"):
        choose([tmp_path / "list.csv"])
