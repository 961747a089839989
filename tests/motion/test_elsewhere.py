"""Detection and scores of videos in tar shards and object stores."""

import csv

import fsspec
import pyarrow.parquet as pq
import pytest

import mofo
from helpers.shards import folder_of, in_memory, moving, shards_of, tar
from helpers.stored import rows
from mofo import cli
from mofo.datasets.check import check
from mofo.motion.detect import detect_many
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import VideoError
from mofo.video.clip import read_frames
from mofo.video.index import IndexCache
from mofo.video.location import locate
from mofo.video.reader import VideoReader

NAMES = ["a.mp4", "sub/b.webm", "c.avi", "d.mkv"]
CODEC = DetectSettings(flow="codec")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same four videos in a folder, in tar shards, at URLs, and in shards there."""
    root = tmp_path_factory.mktemp("places")
    folder = folder_of(root / "videos", NAMES)
    shards = shards_of(folder, root / "shards", 2)
    urls = in_memory(folder, "places"), in_memory(shards, "place-shards")
    return {"file": str(folder), "shard": str(shards), "url": urls[0], "url of shard": urls[1]}


def plain(folder):
    """Rows of a store, by the name of the video's file alone and without where that was."""
    found = rows(folder)
    for row in found:
        row["video"] = row["video"].rpartition("/")[2]
        row.pop("path", None)
        row.pop("first_row", None)
    return sorted(found, key=lambda row: (row["video"], row.get("frame", -1)))


@pytest.mark.parametrize("place", ["shard", "url", "url of shard"])
@pytest.mark.parametrize("flow", ["dis", "codec"])
def test_the_same_rows_from_everywhere(places, place, flow, tmp_path):
    settings = DetectSettings(flow=flow)
    for name, source in (("here", places["file"]), ("there", places[place])):
        report = detect_many(source, tmp_path / name, settings=settings, workers=0, progress=False)
        assert (report.done, report.failed) == (4, 0)
    here, there = plain(tmp_path / "here"), plain(tmp_path / "there")
    digests = [[row.pop("crc", None) for row in found] for found in (here, there)]
    assert len(digests[0]) == len(digests[1])
    assert here == there
    again = detect_many(
        places[place], tmp_path / "there", settings=settings, workers=0, progress=False
    )
    assert (again.done, again.skipped) == (0, 4)


def test_workers_read_shards_and_parts_of_a_run_add_up(places, tmp_path):
    for number in (1, 2):
        detect_many(
            places["shard"], tmp_path / "o", settings=CODEC, workers=1, shard=(number, 2),
            progress=False,
        )  # fmt: skip
    assert sorted(AreaStore.open(tmp_path / "o")) == [
        "part-0.tar/a.mp4", "part-0.tar/d.mkv", "part-1.tar/c.avi", "part-1.tar/sub/b.webm",
    ]  # fmt: skip


def test_scores_are_the_same_from_everywhere(places, tmp_path):
    tables = []
    for place, source in places.items():
        out = tmp_path / f"{place}.parquet"
        assert mofo.score_many(source, out, workers=0, progress=False).done == 4
        found = pq.read_table(out).to_pylist()
        tables.append([{**row, "path": row["path"].rpartition("/")[2]} for row in found])
    key = "path"
    for table in tables:
        table.sort(key=lambda row: (row[key], str(row["kind"]) if "kind" in row else ""))
        for row in table:
            row.pop("video", None), row.pop("key", None)
    assert tables[0] == tables[1] == tables[2] == tables[3]


@pytest.mark.parametrize("place", ["shard", "url", "url of shard"])
@pytest.mark.parametrize("name", NAMES)
def test_single_frames_are_found_without_reading_all(places, place, name):
    """By index and seek, as clips are read; the index is the same as of the file."""
    several = []
    for source in (places["file"], places[place]):
        path = f"{source}/{name}"
        if "shard" in place and source != places["file"]:
            path = next(
                f"{source}/part-{n}.tar/{name}"
                for n in (0, 1)
                if _is_there(f"{source}/part-{n}.tar/{name}")
            )
        index = IndexCache().get(path)
        frames = [frame.to_ndarray().sum() for _, frame in read_frames(path, index, [2, 6])]
        several.append((len(index), index.source, list(index.seconds_T), frames))
    assert several[0] == several[1]


def _is_there(path):
    try:
        locate(path)
    except VideoError:
        return False
    return True


def test_bad_members_are_quarantined_and_the_rest_is_done(tmp_path):
    good = [moving(tmp_path / f"{n}.mp4", n) for n in range(3)]
    half = good[0].read_bytes()[:1500]
    tar(tmp_path / "s/0.tar", {"good.mp4": good[0], "junk.mp4": b"junk", "empty.mp4": b""})
    whole = tar(tmp_path / "s/1.tar", {"good.mp4": good[1], "half.mp4": half, "cut.mp4": good[2]})
    size = good[2].stat().st_size
    at = whole.read_bytes().index(good[2].read_bytes()) + size // 2
    whole.write_bytes(whole.read_bytes()[:at])
    report = check(tmp_path / "s", tmp_path / "check", workers=0, progress=False)
    with (tmp_path / "check/quarantine.csv").open() as file:
        listed = [(row["path"], row["reason"]) for row in csv.DictReader(file)]
    reasons = {path.removeprefix(f"{tmp_path}/s/"): reason for path, reason in listed}
    assert {*reasons} >= {"0.tar/junk.mp4", "0.tar/empty.mp4", "1.tar/cut.mp4"}
    assert "shard is cut" in reasons["1.tar/cut.mp4"]
    assert report.skipped == 0
    again = check(tmp_path / "s", tmp_path / "check", workers=0, progress=False)
    assert again.inspected == 0
    done = detect_many(tmp_path / "s", tmp_path / "o", settings=CODEC, workers=0, progress=False)
    assert {name for name, _ in done.failures} == {*reasons}
    sources = [str(tmp_path / "s"), f"exclude:{tmp_path}/check/quarantine.csv"]
    assert cli.main(["detect", *sources, "--out", str(tmp_path / "q"), "--workers", "0"]) == 0
    assert len(AreaStore.open(tmp_path / "q")) == done.done


def test_a_store_that_fails_while_it_is_read_fails_the_video(places, tmp_path, monkeypatch):
    """And is no truncated video, of which the first frames would do."""
    from fsspec.implementations.memory import MemoryFile

    read, calls = MemoryFile.read, []

    def failing(self, *size):
        calls.append(self.tell())
        if self.tell() > 2000:
            raise ConnectionResetError("connection reset by peer")
        return read(self, *size)

    path = f"{places['url']}/c.avi"
    monkeypatch.setattr("mofo.video.location._BUFFER", 512)
    monkeypatch.setattr(MemoryFile, "read", failing)
    said = pytest.raises(VideoError, match=r"c\.avi: cannot be read \(connection reset")
    with said, VideoReader(path) as reader:
        list(reader)
    assert calls
    report = detect_many(path, tmp_path / "o", settings=CODEC, workers=0, progress=False)
    assert report.failed == 1


def test_a_play_list_in_an_object_store_fetches_nothing(tmp_path):
    secret = moving(tmp_path / "secret.mkv")
    fsspec.filesystem("memory").pipe_file(
        "/lists/a.mp4",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode(),
    )
    with pytest.raises(VideoError), VideoReader("memory://lists/a.mp4") as reader:
        list(reader)
