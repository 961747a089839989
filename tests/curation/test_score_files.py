import json
import shutil

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import mofo
from mofo import cli
from mofo.curation.score_table import Journal, read_scores
from mofo.curation.scores import ScoreSettings
from mofo.types import MofoError, SettingsError


@pytest.fixture(scope="module")
def table(videos, tmp_path_factory):
    """Scores of all videos."""
    out = tmp_path_factory.mktemp("scores") / "scores.parquet"
    mofo.score_many(videos, out, workers=0, progress=False)
    return out


def test_a_run_goes_on_and_names_what_cannot_be_used(videos, table, tmp_path, monkeypatch):
    source, out = tmp_path / "videos", tmp_path / "s.parquet"
    shutil.copytree(videos, source)
    (source / "bad.mp4").write_text("nothing")
    scored = []
    add = Journal.add

    def stopped(self, rows):
        add(self, rows)
        scored.append(rows[0]["path"])
        if len(scored) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", stopped)
        with pytest.raises(KeyboardInterrupt, match="of 6 videos"):
            mofo.score_many(source, out, workers=0, progress=False)
    assert not out.exists()
    (journal,) = tmp_path.glob("*.unfinished/*.jsonl")
    with journal.open("a") as file:
        file.write('[{"path": "torn')  # as a killed process leaves it
    report = mofo.score_many(source, out, workers=0, progress=False)
    assert (report.total, report.done, report.skipped, report.failed) == (6, 3, 2, 1)
    assert report.failures[0][0].endswith("bad.mp4")
    assert "bad.mp4" in (tmp_path / "s.failures.csv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "s.failures.csv", "s.parquet", "videos",
    ]  # fmt: skip
    others = ["path", "key"]
    assert read_scores(out).drop_columns(others).equals(read_scores(table).drop_columns(others))
    # Once more: nothing to do. A changed file is scored again, another one is added.
    assert mofo.score_many(source, out, workers=0, progress=False).done == 0
    shutil.copy(source / "pan.mp4", source / "still.mp4")
    shutil.copy(source / "pan.mp4", source / "other.mp4")
    assert mofo.score_many(source, out, workers=0, progress=False).done == 2
    rows = read_scores(out)
    kinds = rows.filter((pc.field("per") == "video") & (pc.field("camera_kind") == "pan"))
    assert len(kinds) == 4
    with pytest.raises(MofoError, match="window"):
        mofo.score_many(source, out, settings=ScoreSettings(window=5), workers=0)
    assert mofo.score_many(source, out, workers=0, progress=False).skipped == 6


def test_worker_processes_give_the_same_rows(videos, table, tmp_path):
    out = tmp_path / "s.parquet"
    report = mofo.score_many(videos, out, workers=2, progress=False)
    assert (report.done, report.frames) == (5, 300)
    assert read_scores(out).equals(read_scores(table))


def test_listed_segments_keep_what_their_list_says(videos, tmp_path):
    source, out = tmp_path / "list.csv", tmp_path / "s.parquet"
    source.write_text(
        "path,label,start,end,split\n"
        f"{videos}/parts.mp4,rest,0,2,train\n{videos}/parts.mp4,go,2,4,validation\n"
    )
    mofo.score_many(source, out, workers=0, progress=False)
    rows = read_scores(out).filter(pc.field("per") == "video").to_pylist()
    assert [row["cuts"] for row in rows] == [0, 0]
    assert rows[0]["moving"] < 0.5 < rows[1]["moving"]
    for name in ("kept.csv", "kept.parquet"):
        mofo.filter_scores(out, "moving > .5", tmp_path / name)
        (video,) = mofo.read_catalog([tmp_path / name])
        assert (video.label, video.start, video.end, video.split) == ("go", 2, 4, "validation")


def test_lists_of_what_is_kept(videos, table, tmp_path, capsys):
    out = tmp_path / "kept.csv"
    words = ["filter", str(table), "moving > .5 and camera < .1", "--out", str(out)]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "moving > 0.5: drops" in said
    assert {video.key for video in mofo.read_catalog([out])} <= {"mover.mp4", "parts.mp4"}
    selection = mofo.filter_scores(table, "moving > .5", tmp_path / "w.parquet", per="window")
    segments = list(mofo.read_catalog([tmp_path / "w.parquet"]))
    assert len(segments) == selection.kept == 3
    assert [(v.start, v.end) for v in segments if v.key == "parts.mp4"] == [(2, 4)]
    assert cli.main([*words[:2], "moving > 2", *words[3:]]) == 1
    assert "nothing is left of 5" in capsys.readouterr().err
    assert cli.main([*words[:2], "movin > 2", *words[3:]]) == 2
    assert "did you mean 'moving'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["scores.parquet", "kept.txt"])
def test_a_list_has_a_name_of_its_own(table, name):
    with pytest.raises(SettingsError, match=name):
        mofo.filter_scores(table, "moving > 0", table.with_name(name))


def test_other_files_are_no_scores(videos, table, tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(read_scores(table).select(["path"]), other)
    for path in (other, videos / "pan.mp4", tmp_path / "none.parquet"):
        with pytest.raises(MofoError, match=path.name):
            mofo.filter_scores(path, "moving > 0", tmp_path / "out.csv")
    with pytest.raises(MofoError, match="no table of scores"):
        mofo.score_many(videos, other, workers=0, progress=False)
    with pytest.raises(SettingsError, match=r"\.parquet"):
        mofo.score_many(videos, tmp_path / "scores.csv")


def test_a_flipped_bit_is_an_error_or_changes_nothing(table, tmp_path):
    whole, expected = table.read_bytes(), read_scores(table)
    damaged, errors = tmp_path / "scores.parquet", 0
    for place in range(0, len(whole), len(whole) // 300):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        damaged.write_bytes(data)
        try:
            assert read_scores(damaged).equals(expected)
        except MofoError:
            errors += 1
    assert errors > 50


def test_the_command_says_what_it_did(videos, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_text("nothing")
    words = ["score", str(videos / "pan.mp4"), str(tmp_path / "bad.mp4"), "--workers", "0"]
    assert cli.main([*words, "--out", str(tmp_path / "s.parquet"), "--quiet"]) == 1
    captured = capsys.readouterr()
    assert "1 done, 1 failed" in captured.out
    assert "bad.mp4" in captured.err
    assert json.loads(pq.read_schema(tmp_path / "s.parquet").metadata[b"mofo.scores"])


def test_parts_of_several_machines_become_one_table(videos, table, tmp_path):
    out = tmp_path / "s.parquet"
    words = ["score", str(videos), "--out", str(out), "--workers", "0", "--quiet"]
    assert [cli.main([*words, "--shard", f"{part}/2"]) for part in (1, 2)] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 2
    assert cli.main([*words, "--shard", "3/2"]) == 2
    report = mofo.score_many(videos, out, workers=0, progress=False)
    assert (report.done, report.skipped) == (0, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["s.parquet"]
    assert read_scores(out).equals(read_scores(table))
    # A part of a run looks at what is finished in the table, too.
    assert mofo.score_many(videos, out, shard=(1, 2), workers=0, progress=False).done == 0
