import numpy as np
import pytest

import mofo
from helpers.drawn_scenes import SIZE, write
from helpers.scenes import Waves, about
from mofo.types import SettingsError, VideoError


@pytest.mark.parametrize("flow", ["codec", "dis"])
def test_things_that_move_are_told_from_the_camera(videos, flow):
    scores = {
        name: mofo.score(videos / f"{name}.mp4", flow=flow)
        for name in ("still", "pan", "mover", "follow")
    }
    moving = {name: score.moving for name, score in scores.items()}
    assert max(moving["still"], moving["pan"]) < 0.3
    assert min(moving["mover"], moving["follow"]) > 0.7
    assert [scores[name].camera_kind for name in ("still", "pan", "mover", "follow")] == [
        "static", "pan", "static", "pan",
    ]  # fmt: skip
    # 1.5 pixels a frame, 25 frames a second, 120 pixels.
    assert scores["pan"].camera == pytest.approx(1.5 * 25 / 120, rel=0.15)
    assert scores["mover"].speed_50 == pytest.approx(1.6 * 25 / 120, rel=0.35)
    share = np.pi * 22**2 / (120 * 160)
    assert 0.5 * share < scores["mover"].area_50 < 2 * share
    assert scores["mover"].moving_frames > 0.8
    assert scores["pan"].moving_frames < 0.3
    assert scores["mover"].flow == flow


@pytest.mark.parametrize("flow", ["codec", "dis"])
@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("pan", lambda t, _: {"u": 0.8 * t, "v": -0.8 * t}),
        ("zoom", lambda t, _: {"zoom": 1.012**t}),
        ("roll", lambda t, _: {"roll": 0.6 * t}),
        ("handheld", lambda t, at_2: {"u": at_2[0], "v": at_2[1]}),
    ],
)
def test_kinds_of_cameras(tmp_path, flow, kind, way):
    waves, rng = Waves(3), np.random.default_rng(1)
    at_T2 = np.cumsum(rng.normal(0, 1.2, (36, 2)), 0)
    path = write(
        tmp_path / "a.mp4",
        lambda t: waves.picture(*SIZE, about(*SIZE, **way(t, at_T2[t]))),
        frames=36,
    )
    score = mofo.score(path, flow=flow)
    assert score.camera_kind == kind
    assert score.camera > 0.05
    assert score.moving < 0.5


def test_parts_of_a_video(videos):
    score = mofo.score(videos / "parts.mp4", window=1)
    assert [shot.end - shot.start for shot in score.shots] == [2, 2]
    assert score.cuts == 1
    assert score.frames == 100
    assert [round(window.black) for window in score.windows] == [1, 0, 0, 0]
    assert [round(window.frozen) for window in score.windows] == [1, 1, 0, 0]
    assert [window.moving > 0.5 for window in score.windows] == [False, False, True, True]
    assert score.moving == pytest.approx(0.5, abs=0.2)
    assert score.black == pytest.approx(0.25, abs=0.05)
    assert score.frozen == pytest.approx(0.5, abs=0.1)
    assert score.shots[1].letterbox == pytest.approx(0.25, abs=0.03)
    assert score.shots[0].brightness < score.shots[1].brightness == pytest.approx(0.38, abs=0.03)
    assert [part.per for part in (score, score.shots[0], score.windows[0])] == [
        "video", "shot", "window",
    ]  # fmt: skip
    assert not {"shots", "windows"} & set(score.to_dict())
    assert mofo.score(videos / "parts.mp4", window=0).windows == ()


def test_what_stands_for_a_path(videos):
    path = videos / "mover.mp4"
    score = mofo.score(path)
    assert mofo.score(path.read_bytes()) == score
    frames = [frame.image for frame in mofo.VideoReader(path, colour="rgb")]
    in_memory = mofo.score(np.stack(frames[:25]), fps=25)
    assert (in_memory.flow, in_memory.frames) == ("dis", 25)  # frames have no vectors
    assert in_memory.moving > 0.7
    assert mofo.score(np.stack(frames[:1])).moving < 0.5


def test_mistakes(videos, tmp_path):
    with pytest.raises(SettingsError, match="'codec'"):
        mofo.score(videos / "mover.mp4", flow="codek")
    with pytest.raises(SettingsError, match="window"):
        mofo.score(videos / "mover.mp4", window=-1)
    (tmp_path / "bad.mp4").write_text("nothing")
    with pytest.raises(VideoError, match=r"bad\.mp4"):
        mofo.score(tmp_path / "bad.mp4")
