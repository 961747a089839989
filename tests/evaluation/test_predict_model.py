from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from generated.clips import ClipRecipe, make_clip
from helpers.classifiers import CLASSES, write_classifier, write_videos
from mofo.evaluation import evaluate as evaluation
from mofo.evaluation.predict import load
from mofo.motion.detect import detect_many
from mofo.training.checkpoint import CheckpointError, CheckpointFolder
from mofo.types import SettingsError, VideoError
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("predicted") / "videos", 3, CLASSES["label"], 60)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_classifier(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def model(run):
    return load(run)


def test_a_prediction_is_what_an_evaluation_judges_by(run, table, model, monkeypatch):
    seen = []
    real = evaluation.score_videos
    monkeypatch.setattr(
        evaluation, "score_videos", lambda *a, **o: seen.append(real(*a, **o)) or seen[0]
    )
    evaluation.evaluate(run, table, workers=0, draws=1)
    for row, share_C in enumerate(seen[0].score["label"]):
        found = model.predict(table.parent / f"clip{row}.mp4", top=3)
        [scores] = found.heads.values()
        order = np.argsort(-share_C)[:3]
        assert [score.name for score in scores] == [CLASSES["label"][c] for c in order]
        assert [score.probability for score in scores] == pytest.approx(share_C[order], abs=1e-5)
        assert found.label == scores[0].name
        assert f"{scores[0].name} " in str(found)
        assert (found.start, found.end) == (None, None)


def test_the_areas_matter_and_may_come_from_a_store(table, model, tmp_path):
    clip = table.parent / "clip0.mp4"
    detect_many([table.parent], tmp_path / "areas", workers=0, progress=False)
    found = {
        areas: model.predict(clip, areas=areas)
        for areas in ("detected", "dis", "none", str(tmp_path / "areas"))
    }
    shares = {
        areas: {score.name: score.probability for score in one.heads["label"]}
        for areas, one in found.items()
    }
    assert shares["detected"] == shares["dis"]
    assert shares["none"] != shares["dis"]
    assert found[str(tmp_path / "areas")].areas.startswith("store ")
    assert found["dis"].areas == "found by dis in each clip"


def test_bytes_and_frames_in_memory_are_predicted_as_their_file(table, model):
    path = table.parent / "clip0.mp4"
    with VideoReader(path, colour="rgb") as reader:
        frames_THWC = np.stack([frame.image for frame in reader])
    whole, of_bytes = model(path, areas="none"), model(path.read_bytes(), areas="none")
    assert of_bytes.heads == whole.heads
    of_frames = model.predict(
        torch.from_numpy(frames_THWC), areas="none", top=len(CLASSES["label"])
    )
    shares = {score.name: score.probability for score in of_frames.heads["label"]}
    for score in whole.heads["label"]:  # colours are coded anew, without loss of detail
        assert shares[score.name] == pytest.approx(score.probability, abs=0.02)
    parts = list(model.windows(frames_THWC, window=0.5, areas="none"))
    assert len(parts) > 1
    assert {part.path for part in (*parts, of_frames)} == {"in memory"}


@pytest.mark.parametrize("name", ["MCG-NJU/videomae-base", "hf:MCG-NJU/videomae-base"])
def test_names_of_the_hub_are_told_how_to_come_in(name):
    with pytest.raises(CheckpointError, match="mofo weights import"):
        load(name)


def test_several_heads(table, tmp_path):
    classes = {"verb": ("cut", "wash"), "noun": ("onion", "pan", "knife")}
    found = load(write_classifier(tmp_path, classes)).predict(table.parent / "clip0.mp4")
    assert {head: len(scores) for head, scores in found.heads.items()} == {"verb": 2, "noun": 3}
    for scores in found.heads.values():
        assert sum(score.probability for score in scores) == pytest.approx(1)
    verb, noun = found.label.split()
    assert verb in classes["verb"]
    assert noun in classes["noun"]


def test_several_classes_at_once(table, tmp_path):
    found = load(write_classifier(tmp_path, labels="multi")).predict(
        table.parent / "clip0.mp4", top=7
    )
    shares = [score.probability for score in found.heads["label"]]
    assert sum(shares) != pytest.approx(1, abs=1e-3)  # each for itself
    assert all(0 <= share <= 1 for share in shares)


def test_a_window_is_predicted_as_that_part_of_the_video_alone(table, model, tmp_path):
    clip = make_clip(ClipRecipe(seed=0, movers=1, area=(0.05, 0.2), frames=60, width=96, height=64))
    for name, part in (("whole", slice(None)), ("part", slice(25, 50))):
        with VideoWriter(tmp_path / f"{name}.mp4", fps=25, crf=0, pix_fmt="yuv444p") as writer:
            for image in clip.video_THW3[part]:
                writer.write(image)
    found = list(model.windows(tmp_path / "whole.mp4", window=1, hop=0.5, areas="none"))
    assert [(one.start, one.end) for one in found] == [(0, 1), (0.5, 1.5), (1, 2), (1.4, 2.4)]
    alone = model.predict(tmp_path / "part.mp4", views=(1, 1), areas="none")
    shares = {score.name: score.probability for score in alone.heads["label"]}
    for score in found[2].heads["label"]:
        assert score.probability == pytest.approx(shares[score.name], abs=1e-4)


def test_videos_that_cannot_be_used(model, tmp_path, table):
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 99)
    for name, reason in (("bad.mp4", "not a video"), ("none.mp4", "does not exist")):
        with pytest.raises(VideoError, match=reason):
            model.predict(tmp_path / name)
        with pytest.raises(VideoError, match=reason):
            list(model.windows(tmp_path / name, window=1))
    for options, text in (({"top": 0}, "top 0"), ({"views": (1, 0)}, "spatial is 0")):
        with pytest.raises(SettingsError, match=text):
            model.predict(table.parent / "clip0.mp4", **options)


def test_a_video_shorter_than_the_clip(table, tmp_path):
    found = load(write_classifier(tmp_path, frames=64)).predict(table.parent / "clip0.mp4")
    assert found.heads["label"]


def test_only_fine_tuned_models(tmp_path):
    CheckpointFolder(tmp_path / "checkpoints", 1).save(3, {}, {}, {"task": "pretrain"})
    with pytest.raises(CheckpointError, match="has no classes"):
        load(tmp_path)


def test_no_global_random_state(model, table):
    before = torch.get_rng_state()
    model.predict(table.parent / "clip0.mp4")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(run, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    peaks = []
    for seconds in (10, 50):  # 40 s more would be 92 MB of frames
        path = tmp_path / f"{seconds}.mp4"
        with VideoWriter(path, fps=10, gop=10) as writer:
            for t in range(10 * seconds):
                writer.write(np.roll(picture, 3 * t, axis=1))
        code = (
            "import sys, resource; from mofo.evaluation.predict import load\n"
            "found = list(load(sys.argv[1]).windows(sys.argv[2], window=2, areas='dis'))\n"
            "print(len(found), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(run), str(path)],
            capture_output=True, text=True, timeout=280, check=True,
        )  # fmt: skip
        windows, peak = map(int, done.stdout.split())
        assert windows == seconds - 1
        peaks.append(peak / 1024)
    assert peaks[1] - peaks[0] < 60, peaks
