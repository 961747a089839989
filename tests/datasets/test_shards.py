"""Tar shards and URLs as lists of videos."""

import gzip
import json
import pickle
import shutil
import subprocess
import sys
import tarfile

import pytest

from helpers.shards import in_memory, moving, tar
from mofo import cli
from mofo.datasets.catalog import read_catalog
from mofo.types import MofoError
from mofo.video.location import locate
from mofo.video.shard import open_shard


def keys(*sources):
    return [video.key for video in read_catalog(sources).videos]


def labels(*sources):
    return {video.key.rpartition("/")[2]: video.label for video in read_catalog(sources)}


def test_members_are_listed_by_name_below_their_shard(tmp_path):
    tar(tmp_path / "s/b.tar", {"z/2.mp4": b"v", "./1.mp4": b"v", "1.txt": "x", "z/.h.mp4": b"v"})
    tar(tmp_path / "s/sub/a.tar", {"3.webm": b"v", "notes.md": "n"})
    expected = ["b.tar/1.mp4", "b.tar/z/2.mp4", "sub/a.tar/3.webm"]
    assert keys(tmp_path / "s") == expected
    assert keys(tmp_path / "s/*.tar") == expected[:2]
    assert keys(tmp_path / "s/b.tar") == expected[:2]
    assert keys(tmp_path / "s/b.tar/z/2.mp4") == expected[1:2]
    (tmp_path / "list.csv").write_text("path\ns/b.tar/1.mp4\ns/b.tar/none.mp4\n")
    catalog = read_catalog([tmp_path / "list.csv"])
    assert [video.key for video in catalog] == ["s/b.tar/1.mp4"]
    assert "not in the shard" in catalog.problems[0][1]
    # A tar file beside videos is a download that was unpacked, and no source.
    moving(tmp_path / "s/own.mp4")
    assert keys(tmp_path / "s") == ["own.mp4"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"a.mp4": b"v", "a.cls": "1", "b.mp4": b"v", "b.cls": "0"}, {"a": "1", "b": "0"}),
        (
            {"a.mp4": b"v", "a.json": '{"label": "run"}', "b.x.mp4": b"v", "b.cls": "walk"},
            {"a": "run", "b.x": "walk"},
        ),
        ({f"{n}.{e}": f"c{n % 2}" for n in range(4) for e in ("mp4", "txt")}, None),
        ({f"{n}.{e}": f"text {n}" for n in range(4) for e in ("mp4", "txt")}, {}),  # captions
        ({f"set/{c}/{n}.mp4": b"v" for c in "ab" for n in range(2)}, "folders"),
    ],
)
def test_labels_come_from_members_of_one_name_or_from_folders(tmp_path, members, expected):
    found = labels(tar(tmp_path / "s.tar", members))
    if expected is None:
        expected = {str(n): f"c{n % 2}" for n in range(4)}
    if expected == "folders":
        assert [v.label for v in read_catalog([tmp_path / "s.tar"])] == ["a", "a", "b", "b"]
    else:
        assert found == {f"{n}.mp4": expected.get(str(n)) for n in expected or range(4)}


def test_numbers_with_names_are_the_order_of_classes(tmp_path):
    members = {}
    for name, number in (("walk", 2), ("run", 0), ("jump", 1)):
        members |= {f"{name}.mp4": b"v", f"{name}.cls": str(number)}
        members[f"{name}.json"] = json.dumps({"label": name, "split": "val", "group": "P1"})
    catalog = read_catalog([tar(tmp_path / "s.tar", members)])
    assert catalog.classes == {"label": ("run", "jump", "walk")}
    assert {(v.split, v.group) for v in catalog} == {("validation", "P1")}


def test_segments_and_splits(tmp_path):
    rows = [{"start": 0, "end": 1, "verb": "cut"}, {"start": 1, "end": 2.5, "verb": "mix"}]
    tar(tmp_path / "s/train-0.tar", {"a.mp4": b"v", "a.json": json.dumps({"segments": rows})})
    tar(tmp_path / "s/val-0.tar", {"b.mp4": b"v", "b.json": "{"})
    catalog = read_catalog([tmp_path / "s"])
    assert [(v.start, v.end, v.labels, v.split) for v in catalog] == [
        (0, 1, (("verb", "cut"),), "train"),
        (1, 2.5, (("verb", "mix"),), "train"),
        (None, None, (), "validation"),
    ]
    assert "no JSON" in catalog.problems[0][1]


def test_what_is_wrong_with_a_shard_is_named_and_the_rest_is_listed(tmp_path):
    good = tar(tmp_path / "s/a.tar", {"a.mp4": b"v" * 700, "b.mp4": b"w" * 700})
    cut = good.read_bytes()
    (tmp_path / "s/b.tar").write_bytes(cut[:2512])  # in the second member
    (tmp_path / "s/c.tar").write_bytes(cut[: 512 * 3 + 100])  # in its header
    broken = bytearray(cut)
    broken[512 * 3 : 512 * 3 + 8] = b"\xff" * 8
    (tmp_path / "s/d.tar").write_bytes(broken)
    (tmp_path / "s/e.tar.gz").write_bytes(gzip.compress(cut))
    (tmp_path / "s/f.tar").write_bytes(gzip.compress(cut))
    (tmp_path / "s/g.tar").write_text("no tar")
    tar(tmp_path / "s/h.tar", {"a.mp4": b"1", "x.mp4": b"x"})
    with tarfile.open(tmp_path / "s/h.tar", "a") as out:
        out.add(good, "a.mp4")
        link = tarfile.TarInfo("l.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "a.mp4"
        out.addfile(link)
    catalog = read_catalog([tmp_path / "s"])
    assert [v.key for v in catalog] == [
        "a.tar/a.mp4", "a.tar/b.mp4", "b.tar/a.mp4", "b.tar/b.mp4", "c.tar/a.mp4", "d.tar/a.mp4",
        "h.tar/a.mp4", "h.tar/x.mp4",
    ]  # fmt: skip
    said = {name.removeprefix(f"{tmp_path}/s/"): reason for name, reason in catalog.problems}
    assert {*said} == {"c.tar", "d.tar", "e.tar.gz", "f.tar", "g.tar", "h.tar/a.mp4", "h.tar/l.mp4"}
    assert all("lost" in said[name] for name in ("c.tar", "d.tar"))
    assert "gzip" in said["f.tar"]
    assert "unpack" in said["e.tar.gz"]
    assert locate(str(tmp_path / "s/h.tar/a.mp4")).size == good.stat().st_size  # the last one
    with pytest.raises(MofoError, match=r"464 of 700 bytes of it are there"):
        locate(str(tmp_path / "s/b.tar/b.mp4"))
    with pytest.raises(MofoError, match="none of its 1 videos"):
        read_catalog([tmp_path / "s/f.tar"])


def test_a_list_of_members_is_kept_and_made_anew_with_the_shard(tmp_path, monkeypatch):
    monkeypatch.setenv("MOFO_CACHE", str(tmp_path / "cache"))
    file = tar(tmp_path / "s.tar", {"a.mp4": b"one"})
    path = str(file / "a.mp4")
    with locate(path).open() as one:
        assert one.read() == b"one"
    (kept,) = tmp_path.glob("cache/shards/*.arrow")
    code = (
        "import sys; from mofo.video.shard import _read, open_shard; import mofo.video.shard as s"
    )
    code += "; s._read = None; print(len(open_shard(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr
    tar(file, {"b.mp4": b"two", "a.mp4": b"other"})
    with locate(path).open() as other:
        assert other.read() == b"other"
    kept.write_bytes(b"junk")
    tar(file, {"c.mp4": b"three"})
    assert keys(file) == ["s.tar/c.mp4"]
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("no folder")
    assert len(open_shard(str(tar(tmp_path / "t.tar", {"c.mp4": b"1"})))) == 1


def test_many_members_stay_columns(tmp_path):
    file = tar(tmp_path / "s.tar", {f"{n:05d}.mp4": b"" for n in range(10_001)})
    catalog = read_catalog([file])
    assert len(catalog) == 10_001
    assert catalog[-1].key == "s.tar/10000.mp4"
    assert len(pickle.dumps(catalog)) < 10_001 * 100


def test_urls_are_listed_as_folders_are(tmp_path):
    for name in ("walk/a.mp4", "walk/b.mp4", "run/c.mp4", "run/d.mp4", "run/notes.txt"):
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "v" / name).write_bytes(b"video")
    url = in_memory(tmp_path / "v", "listed")
    here, there = read_catalog([tmp_path / "v"]), read_catalog([url])
    assert sorted((v.key, v.label) for v in there) == sorted((v.key, v.label) for v in here)
    assert keys(f"{url}/run/*.mp4") == ["c.mp4", "d.mp4"]
    assert keys(f"{url}/walk/a.mp4") == ["a.mp4"]
    shards = in_memory(tar(tmp_path / "s/x.tar", {"m.mp4": b"v"}).parent, "shards")
    assert keys(shards) == keys(f"{shards}/x.tar") == keys(f"{shards}/x.tar/m.mp4")
    (tmp_path / "list.csv").write_text(
        f"path\n{url}/walk/a.mp4\n{shards}/x.tar/m.mp4\nv/run/c.mp4\n"
    )
    assert keys(tmp_path / "list.csv") == [
        "memory/listed/walk/a.mp4", "memory/shards/x.tar/m.mp4", str(tmp_path / "v/run/c.mp4")[1:],
    ]  # fmt: skip
    assert keys(f"file://{tmp_path}/v/walk") == ["a.mp4", "b.mp4"]


def test_what_has_to_be_here_is_no_url(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "pack", "videos", "--out", "s3://bucket/shards"]) == 2
    assert "is a URL" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://nothing/here", "does not exist"),
        ("s4://bucket/a.mp4", "s4"),
        ("s3://bucket/a.mp4", "s3fs"),
        ("memory://listed/all.csv", "lists are read from files here"),
    ],
)
def test_urls_that_cannot_be_used_are_one_line(tmp_path, url, said, capsys):
    (tmp_path / "all.csv").write_text("path\n")
    in_memory(tmp_path, "listed")
    assert cli.main(["detect", url, "--out", str(tmp_path / "o")])
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert lines[0].count(url) == 1
