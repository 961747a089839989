import json

import pytest

from mofo import cli
from mofo.demo import video_sources as sources
from mofo.demo.demo import demo
from mofo.demo.scale import DemoScale
from mofo.evaluation.results import read_results
from mofo.synth.clips import ClipRecipe, make_clip, write_clip
from mofo.types import MofoError, SettingsError

SMALL = DemoScale(
    clips=40, size=32, batch=8, pretrain_steps=2, finetune_steps=3, save_every=2, draws=20
)


@pytest.fixture
def no_real_clips(monkeypatch):
    monkeypatch.setattr(sources, "real_clips", dict)


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """A folder with two seconds in portrait, and a file that is broken."""
    folder = tmp_path_factory.mktemp("phone")
    recipe = ClipRecipe(seed=0, width=90, height=160, frames=50, camera="handheld")
    write_clip(make_clip(recipe), folder / "dog.mp4")
    (folder / "torn.mov").write_bytes(b"no video")
    return folder


def test_all_stages_once_and_then_never_again(tmp_path, phone, no_real_clips):
    said = []
    report = demo(tmp_path / "d", [phone], scale=SMALL, progress=False, say=said.append)
    text = "\n".join(said)
    assert "yours: 90x160, portrait, 2.0 s" in text
    assert "left out: " in text
    assert "torn.mov" in text
    assert [one.before for one in report.timings] == [False] * 7
    out = report.out
    for file in ("report.html", "pictures/motion.png", "pictures/attention.png",
                 "predictions/dog.mp4", "areas/overlays/dog.mp4"):  # fmt: skip
        assert (out / file).stat().st_size > 1000
    # The page must not say that every file could be read.
    assert "torn.mov" in (out / "report.html").read_text()
    top1 = read_results(out / "evaluation/mofo/results.json").heads["label"].measures["top1"]
    assert f"mofo                     {100 * top1.mean:4.1f} %" in text
    predictions = json.loads((out / "predictions/predictions.json").read_text())
    assert len({row["label"] for row in predictions["unseen"]}) == len(predictions["unseen"])
    assert "answers\n     with one of them, whatever it sees" in text

    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.is_file()}
    again = demo(out, [phone], scale=SMALL, progress=False, say=said.append)
    assert [one.before for one in again.timings] == [True] * 7
    assert again.found == report.found
    assert made == {path: path.stat().st_mtime_ns for path in made}

    # Other videos: what was learned stays.
    other = demo(out, scale=SMALL, progress=False, say=said.append)
    assert [one.before for one in other.timings] == [False, True, True, True, True, False, False]
    assert "no real video is here: pip install" in "\n".join(said)


def test_mistakes_are_told_before_any_work(tmp_path, no_real_clips, capsys):
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.mp4").write_bytes(b"")
    (broken / "b.mov").write_text("words")
    (tmp_path / "file").write_text("")
    cases = {
        ("--videos", "empty"): "empty: no video there; expected one of",
        ("--videos", "nowhere"): "nowhere: does not exist",
        ("--videos", "broken"): "none of 2 files can be used (a.mp4: ",
        ("--out", "file"): "file: is a file: --out names a folder",
    }
    for (option, name), message in cases.items():
        words = ["demo", option, str(tmp_path / name), "--quiet"]
        words += ["--out", str(tmp_path / "out")] if option == "--videos" else []
        assert cli.main(words) == 1
        told = capsys.readouterr()
        assert message in told.err
        assert told.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_long_videos_are_left_out_with_a_reason(phone, no_real_clips):
    with pytest.raises(MofoError, match=r"dog\.mp4: 2 s long: the demo takes 1 s in all"):
        sources.find_sources([phone], 1.0)
    assert [one.name for one in sources.find_sources([phone], 3.0).videos] == ["dog.mp4"]


def test_other_settings_need_another_folder(tmp_path, no_real_clips, monkeypatch):
    out = tmp_path / "d"
    notes = out / "notes"
    notes.mkdir(parents=True)
    (notes / "clips.json").write_text(
        json.dumps({"made_with": "x", "done": False, "seconds": 1.0, "cpu": 1.0})
    )
    with pytest.raises(MofoError, match="was made with other settings"):
        demo(out, scale=SMALL, progress=False, say=lambda line: None)
    with pytest.raises(SettingsError, match="10 clips are too few"):
        DemoScale(clips=10)
