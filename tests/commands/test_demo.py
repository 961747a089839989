import pytest

from generated.clips import ClipRecipe, make_clip, write_clip
from mofo import cli


@pytest.fixture
def no_real_clips(monkeypatch):
    monkeypatch.setattr("mofo.datasets.sample_videos.real_clips", dict)


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """A folder with two seconds in portrait, and a file that is broken."""
    folder = tmp_path_factory.mktemp("phone")
    recipe = ClipRecipe(seed=0, width=90, height=160, frames=50, camera="handheld")
    write_clip(make_clip(recipe), folder / "dog.mp4")
    (folder / "torn.mov").write_bytes(b"no video")
    return folder


@pytest.mark.slow
def test_all_steps_once_and_then_never_again(tmp_path, phone, no_real_clips, capsys):
    out = tmp_path / "d"
    words = ["demo", "--quick", "--quiet", "--videos", str(phone), "--out", str(out)]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "left out: " in text
    assert "torn.mov" in text
    assert "conclusion: " in text
    files = ("report.html", "pictures/motion.png", "pictures/masks.png", "pictures/attention.png",
             "pictures/reconstruction.png", "predictions/real/dog.mp4", "areas/overlays/dog.mp4",
             "evaluation/mofo/results.json")  # fmt: skip
    for file in files:
        assert (out / file).stat().st_size > 1000
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.is_file()}
    assert cli.main(words) == 0
    changed = [path.name for path, time in made.items() if path.stat().st_mtime_ns != time]
    assert set(changed) <= {
        "report.html",
        "demo.log",
        "metrics.jsonl",
        "settings.yaml",
        "versions.json",
    }
    again = capsys.readouterr().out
    assert again.count("done before: ") == 8
    assert "mofo data synth" not in again


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--videos", "empty", "no video there"),
        ("--videos", "nowhere", "does not exist"),
        ("--videos", "broken", "none of 2 files can be used"),
        ("--out", "file", "is a file: --out names a folder"),
    ],
)
def test_mistakes_end_it_before_any_work(tmp_path, no_real_clips, capsys, option, name, message):
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.mp4").write_bytes(b"")
    (broken / "b.mov").write_text("words")
    (tmp_path / "file").write_text("")
    words = ["demo", option, str(tmp_path / name), "--quiet"]
    words += ["--out", str(tmp_path / "out")] if option == "--videos" else []
    assert cli.main(words) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()
