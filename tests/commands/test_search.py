"""`mofo search`: nearest videos and moments."""

import pytest

import mofo
from helpers.probed import write_labelled, write_pretrained
from mofo.cli import main
from mofo.datasets.catalog import read_catalog


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Features of eight videos, one a video and by windows."""
    folder = tmp_path_factory.mktemp("searched")
    table = write_labelled(folder / "videos", "colour", 4, 4)
    model = write_pretrained(folder / "model")
    for name, words in {"whole": (), "windows": ("--window", "0.2", "--hop", "0.2")}.items():
        out = str(folder / f"{name}.parquet")
        code = main(
            [
                "embed",
                "--encoder",
                str(model),
                str(table),
                "--out",
                out,
                *words,
                "--quiet",
                "--workers",
                "0",
            ]
        )
        assert code == 0
    return folder, read_catalog([table]).videos


def test_the_nearest_videos_are_of_the_same_class(made, capsys):
    folder, videos = made
    matches = mofo.search(videos[0].path, folder / "whole.parquet", top=3)
    assert {match.label for match in matches} == {videos[0].label}
    assert videos[0].path not in {match.path for match in matches}
    similarity = [match.similarity for match in matches]
    assert similarity == sorted(similarity, reverse=True)
    assert -1 <= similarity[-1] <= similarity[0] <= 1
    capsys.readouterr()
    assert main(["search", videos[0].path, str(folder / "whole.parquet"), "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [matches[0].path in lines[0], matches[1].path in lines[1]] == [True, True]
    assert lines[2].startswith("next: ")


def test_windows_give_moments(made):
    folder, videos = made
    query, features = videos[1].path, folder / "windows.parquet"
    matches = mofo.search(query, features, top=99, per_video=99)
    assert len({match.path for match in matches}) == len(videos) - 1
    assert all(match.end - match.start == pytest.approx(0.2, abs=0.05) for match in matches)
    assert len(matches) > len(videos)
    assert len(mofo.search(query, features, top=99)) == len(videos) - 1
    # Other moments of the same file are matches, the one that is looked for is not.
    own = [m for m in mofo.search(query, features, start=0, end=0.2, top=99, per_video=99)
           if m.path == query]  # fmt: skip
    assert own
    assert all(match.start >= 0.15 for match in own)


def test_mistakes(made, tmp_path, capsys):
    folder, videos = made
    (tmp_path / "no.parquet").write_text("none")
    other = write_pretrained(tmp_path / "other", seed=5)
    data = bytearray((folder / "whole.parquet").read_bytes())
    data[len(data) // 4] ^= 1
    (tmp_path / "flipped.parquet").write_bytes(data)
    for words, fact in (
        ([videos[0].path, tmp_path / "no.parquet"], "no features"),
        ([videos[0].path, tmp_path / "flipped.parquet"], "is damaged"),
        ([videos[0].path, tmp_path / "gone.parquet"], "does not exist"),
        ([tmp_path / "gone.mp4", folder / "whole.parquet"], "gone.mp4"),
        ([videos[0].path, folder / "whole.parquet", "--top", "0"], "top 0"),
        ([videos[0].path, folder / "whole.parquet", "--encoder", other], "another model"),
    ):
        assert main(["search", *map(str, words)]) in (1, 2)
        err = capsys.readouterr().err
        assert fact in err
        assert len(err.strip().splitlines()) == 1
