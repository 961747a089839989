from __future__ import annotations

import csv
import json
import os
import signal
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from helpers.classifiers import CLASSES, write_classifier, write_videos
from helpers.ranks import ranks
from mofo import cli
from mofo.clips.labels import LabelError
from mofo.clips.transforms import Geometry
from mofo.evaluation import evaluate as module
from mofo.evaluation import scoring
from mofo.evaluation.evaluate import evaluate
from mofo.evaluation.results import read_results
from mofo.motion.analyse import analyse
from mofo.motion.detect import detect_many
from mofo.motion.presets import DetectSettings
from mofo.training.checkpoint import CheckpointError, CheckpointFolder
from mofo.training.journal import TooManyUnreadableError
from mofo.training.saved_models import open_classifier
from mofo.types import MofoError, SettingsError, StoreError
from mofo.video.clip import Segment
from mofo.video.index import index_frames
from mofo.video.picture import crop_picture

NAMES = CLASSES["label"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Ten videos."""
    return write_videos(tmp_path_factory.mktemp("evaluated") / "videos", 10, NAMES[:4])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_classifier(tmp_path_factory.mktemp("run"))


def judged(run, table, **options):
    return evaluate(run, table, **({"workers": 0, "draws": 20} | options))


def rows_of(table):
    with table.open() as file:
        return list(csv.DictReader(file))


def rewritten(table, column, values, path):
    """The table with another column; paths stay right."""
    rows = rows_of(table)
    with path.open("w", newline="") as file:
        names = [*rows[0], column] if column not in rows[0] else list(rows[0])
        out = csv.DictWriter(file, names)
        out.writeheader()
        for row, value in zip(rows, values, strict=True):
            out.writerow(row | {"path": str(table.parent / row["path"]), column: value})
    return path


def by_hand(run, table):
    """Mean of softmax over 2 x 3 views, with frames, crops and tokens written out."""
    model = open_classifier(run).model
    shares = []
    for row in rows_of(table):
        path = table.parent / row["path"]
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        count, size = len(frames), (frames[0].width, frames[0].height)
        assert (count, *size) == (20, 96, 64)
        views = []
        for start in (0, count - 7):  # 4 frames, every second one: 7 frames
            numbers = start + np.arange(4) * 2
            area = stretch_area(path, start)
            for x in (0, 16, 32):
                geometry = Geometry((x, 0, x + 64, 64), (64, 64))
                clip = np.empty((4, 64, 64, 3), np.uint8)
                for t, number in enumerate(numbers):
                    crop_picture(frames[number], geometry.crop, (64, 64), upright=size, out=clip[t])
                box_T4, valid_T = geometry.boxes(area.box_T4, area.valid_T)
                inside = np.zeros((4, 4), bool)
                if valid_T.any():
                    x1, y1 = box_T4[valid_T][:, :2].min(0)
                    x2, y2 = box_T4[valid_T][:, 2:].max(0)
                    for i in range(4):
                        for j in range(4):
                            inside[i, j] = (
                                x1 < 16 * j + 16 and x2 > 16 * j
                                and y1 < 16 * i + 16 and y2 > 16 * i
                            )  # fmt: skip
                inside_N = torch.from_numpy(np.tile(inside.ravel(), 2))
                with torch.no_grad():
                    logits = model(torch.from_numpy(clip)[None], inside_N[None])["label"][0]
                views.append(torch.softmax(logits.double(), 0).numpy())
        shares.append(np.mean(views, 0))
    return np.array(shares)


def stretch_area(path, start):
    part = partial(
        Segment, index=index_frames(path), start=start, stop=start + 7, on_frame=lambda n, f: None
    )
    return analyse(path, DetectSettings(flow="dis"), reader=part)


def test_equal_to_a_hand_computation_on_ten_clips(table, tmp_path, monkeypatch):
    run = write_classifier(tmp_path, size=64)
    results, wanted = judged(run, table), by_hand(run, table)
    assert np.ptp(wanted, axis=0).max() > 0.01  # the model does tell the clips apart
    np.testing.assert_allclose(scores(run, table, monkeypatch), wanted, atol=1e-5)
    found = results.heads["label"]
    labels = [NAMES.index(row["label"]) for row in rows_of(table)]
    assert [row.label for row in found.videos] == labels
    assert [row.predicted for row in found.videos] == wanted.argmax(1).tolist()
    hits = wanted.argmax(1) == labels
    assert found.measures["top1"].mean == pytest.approx(hits.mean())
    top5 = [label in np.argsort(-share)[:5] for share, label in zip(wanted, labels, strict=True)]
    assert found.measures["top5"].mean == pytest.approx(np.mean(top5))
    each = [np.mean(hits[np.array(labels) == c]) for c in sorted(set(labels))]
    assert found.measures["mean_class_accuracy"].mean == pytest.approx(np.mean(each))
    assert results.views == 6


def scores(run, table, monkeypatch, **options):
    """Probabilities of the videos."""
    seen = []
    real = module.score_videos
    with monkeypatch.context() as patch:
        patch.setattr(module, "score_videos", lambda *a, **o: seen.append(real(*a, **o)) or seen[0])
        judged(run, table, **options)
    return seen[0].score["label"]


def test_the_batch_and_the_workers_do_not_matter(run, table, monkeypatch):
    wanted = scores(run, table, monkeypatch, batch=60)
    for options in ({"batch": 1}, {"batch": 7}, {"batch": 5, "workers": 2}):
        found = scores(run, table, monkeypatch, **options)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_two_processes_give_the_results_of_one(run, table, tmp_path):
    single = judged(run, table, draws=1000)
    words = [
        "evaluate", "--encoder", str(run), str(table), "--workers", "0", "--batch", "4",
        "--out", str(tmp_path / "out"), "--quiet",
    ]  # fmt: skip
    codes, ended = ranks(2, lambda rank: cli.main(words))
    assert codes == [0, 0], ended.err
    assert ended.out.count("top-1") == 1  # one of them speaks
    both = read_results(tmp_path / "out" / "results.json")
    assert both.heads == single.heads
    assert json.loads((tmp_path / "out" / "results.json").read_text())["views"] == 6


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stopped_test_goes_on(run, table, tmp_path, processes):
    """A signal in the midst of it, with any number of processes."""
    whole = judged(run, table)
    words = [
        "evaluate", "--encoder", str(run), str(table), "--workers", "0", "--batch", "4",
        "--quiet", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    calls = []

    def evaluated(rank, stop):
        real = scoring.classify

        def classify(model):
            forward = real(model)

            def noted(clips):
                calls.append(clips)
                if stop and len(calls) == 4:  # two videos are done, and a part of the third
                    os.kill(os.getpid(), signal.SIGUSR1)
                return forward(clips)

            return noted

        scoring.classify = classify
        code = cli.main(words)
        print(len(calls), "batches")
        return code

    codes, ended = ranks(processes, partial(evaluated, stop=True))
    assert codes == [75] * processes, ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "run the same command to go on from here (SIGUSR1)" in ended.err
    kept = list((tmp_path / "out" / "scores").glob("*/*.safetensors"))
    assert len(kept) == processes
    codes, ended = ranks(1, partial(evaluated, stop=False))
    assert codes == [0], ended.err
    assert f"{-(-(10 - 2 * processes) * 6 // 4)} batches" in ended.out
    assert read_results(tmp_path / "out" / "results.json").heads.keys() == whole.heads.keys()
    found = read_results(tmp_path / "out" / "results.json").heads["label"].videos
    assert found == whole.heads["label"].videos
    assert not (tmp_path / "out" / "scores").exists()


def test_provenances(run, table, tmp_path, monkeypatch):
    detect_many([table.parent], tmp_path / "areas", settings=DetectSettings(), workers=0,
                progress=False)  # fmt: skip
    store = {"store": tmp_path / "areas"}
    found = {
        name: scores(run, table, monkeypatch, areas=name, **more)
        for name, more in (
            ("detected", store), ("truth", store), ("shuffled", store),
            ("centre", {}), ("none", {}),
        )
    }  # fmt: skip
    np.testing.assert_array_equal(found["detected"], found["truth"])  # the same store here
    np.testing.assert_array_equal(
        found["detected"], scores(run, table, monkeypatch, areas=str(tmp_path / "areas"))
    )
    for one, other in (
        ("detected", "shuffled"), ("detected", "centre"), ("detected", "none"), ("centre", "none"),
    ):  # fmt: skip
        assert np.abs(found[one] - found[other]).max() > 1e-4, (one, other)
    again = scores(run, table, monkeypatch, areas="shuffled", **store)
    np.testing.assert_array_equal(again, found["shuffled"])
    results = judged(run, table, areas="shuffled", seed=3)
    assert results.about["areas"] == (
        "of another video, shuffled with seed 3; found by dis in each clip"
    )


def test_options_that_contradict_each_other(run, table, tmp_path):
    for options, text in (
        ({"areas": "truth"}, "needs a store"),
        ({"areas": "none", "store": tmp_path}, "needs no store"),
        ({"areas": "dis", "store": tmp_path}, "needs no store"),
        ({"views": (0, 3)}, "temporal is 0"),
        ({"batch": 0}, "batch 0"),
    ):
        with pytest.raises(SettingsError, match=text):
            judged(run, table, **options)
    with pytest.raises(StoreError, match="did you mean 'shuffled'"):
        judged(run, table, areas="shufled")


def test_a_fusion_without_areas_is_given_none(tmp_path, table):
    results = judged(write_classifier(tmp_path, fusion="mean"), table, views=(1, 1))
    assert "does not use motion" in results.about["areas"]


def test_unreadable_videos_are_left_out_and_told(run, table, tmp_path):
    for row in rows_of(table):
        (tmp_path / row["path"]).symlink_to(table.parent / row["path"])
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 99)
    mixed = tmp_path / "mixed.csv"
    mixed.write_text(table.read_text() + "bad.mp4,cut\n")
    whole, rest = judged(run, table), judged(run, mixed, max_unreadable=0.2)
    assert rest.heads == whole.heads
    [(path, reason)] = rest.left_out
    assert path.endswith("bad.mp4")
    assert "not a video" in reason
    with pytest.raises(TooManyUnreadableError, match=r"1 of 11 videos cannot be read.*bad.mp4"):
        judged(run, mixed)


def test_splits(run, table, tmp_path):
    splits = ["train"] * 5 + ["validation"] * 3 + ["test"] * 2
    listed = rewritten(table, "split", splits, tmp_path / "list.csv")
    assert judged(run, listed).heads["label"].count == 3
    assert judged(run, listed, split="test").heads["label"].count == 2
    assert judged(run, listed, split="all").heads["label"].count == 10
    with pytest.raises(MofoError, match=r"no video of the split 'val'.*train \(5\)"):
        judged(run, listed, split="val")
    tested = rewritten(table, "split", ["train"] * 8 + ["test"] * 2, tmp_path / "tested.csv")
    assert judged(run, tested).heads["label"].count == 2
    trained = rewritten(table, "split", ["train"] * 10, tmp_path / "trained.csv")
    with pytest.raises(MofoError, match="name others to test on"):
        judged(run, trained)


def test_predictions_as_a_table(run, table, tmp_path):
    file = tmp_path / "new" / "predictions.csv"
    judged(run, table, predictions=file)
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 10
    names = list(CLASSES["label"])
    for row in rows:
        assert Path(row["path"]).is_file()
        assert row["label"] in names
        shares = {name: float(row[name]) for name in names}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
        assert row["prediction"] == max(shares, key=shares.get)


def test_intervals_are_over_groups(run, table, tmp_path):
    listed = rewritten(table, "group", ["one"] * 10, tmp_path / "list.csv")
    for value in judged(run, listed, draws=200).heads["label"].measures.values():
        assert value.low == value.high == value.mean  # a single group has no spread


def test_labels_that_are_missing_or_unknown(run, table, tmp_path):
    with pytest.raises(LabelError, match=r"clip0.mp4 and 9 more videos: no label"):
        judged(run, table.parent / "*.mp4")
    strange = rewritten(table, "label", ["cut"] * 9 + ["fly"], tmp_path / "list.csv")
    with pytest.raises(LabelError, match=r"'fly', not among the 7 classes known"):
        judged(run, strange)


def test_checkpoints_without_a_head(tmp_path, table):
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        judged(tmp_path, table)
    CheckpointFolder(tmp_path / "checkpoints", 1).save(3, {}, {}, {"task": "pretrain"})
    with pytest.raises(CheckpointError, match="'pretrain' and has no classes"):
        judged(tmp_path, table)


def test_videos_shorter_than_the_clip(tmp_path, table):
    short = write_classifier(tmp_path, frames=16)  # 31 frames of a file of 20
    assert judged(short, table, views=(2, 1)).heads["label"].count == 10


@pytest.mark.parametrize("sampling", ["dense", "segments"])
def test_verbs_nouns_and_actions(tmp_path, table, sampling):
    verbs, nouns = ("cut", "wash", "take"), ("onion", "pan")
    pairs = [(verbs[k % 3], nouns[k % 2]) for k in range(10)]
    lines = [f"{table.parent}/clip{k}.mp4,{verb},{noun}" for k, (verb, noun) in enumerate(pairs)]
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join(["path,verb,noun", *lines]))
    two = write_classifier(
        tmp_path / "two", {"verb": verbs, "noun": nouns}, sampling=sampling, seed=4
    )
    found = judged(two, listed, views=(1, 1)).heads
    assert set(found) == {"verb", "noun", "action"}
    # The best pair is that of the best verb and the best noun.
    for verb, noun, action in zip(*(found[head].videos for head in found), strict=True):
        name = f"{verbs[verb.predicted]} {nouns[noun.predicted]}"
        assert found["action"].classes[action.predicted].name == name
    actions = tuple(f"{verb} {noun}" for verb in verbs for noun in nouns)
    joint = write_classifier(tmp_path / "joint", {"action": actions}, sampling=sampling)
    found = judged(joint, listed, views=(1, 1)).heads
    assert set(found) == {"verb", "noun", "action"}
    assert {row.name for row in found["verb"].classes} == set(verbs)
    assert found["action"].count == 10


def test_several_classes_a_video(tmp_path, table):
    cells = ["cut;wash", "drop", "push;cut", "pull", "wipe;drop"] * 2
    listed = rewritten(table, "labels", cells, tmp_path / "list.csv")
    text = listed.read_text().splitlines()
    rows = [line.split(",") for line in text]
    listed.write_text("\n".join(f"{row[0]},{row[2]}" for row in rows))
    run = write_classifier(tmp_path / "run", labels="multi")
    found = judged(run, listed, views=(1, 1)).heads["label"]
    assert set(found.measures) == {"mean_average_precision"}
    assert {row.name: row.count for row in found.classes}["cut"] == 4
