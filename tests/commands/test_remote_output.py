"""Results at URLs: in fsspec's memory, and on a server that speaks S3's protocol."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

import mofo
from helpers.shards import folder_of
from helpers.stored import rows
from mofo import cli
from mofo.motion.store import AreaStore

NAMES = ["a.mp4", "b.mp4", "c.mp4"]


@pytest.fixture
def videos(tmp_path):
    return folder_of(tmp_path / "videos", NAMES)


@pytest.fixture
def system():
    """Fsspec's memory, empty."""
    system = fsspec.filesystem("memory")
    for path in system.ls("/", detail=False):
        system.rm(path, recursive=True)
    return system


def fetched(system, path: str, folder: Path) -> Path:
    system.get(path, str(folder), recursive=True)
    return folder


def detect(*words: object) -> int:
    return cli.main(["detect", *map(str, words), "--flow", "codec", "--workers", "0", "--quiet"])


def test_a_store_at_a_url_grows_and_has_the_same_rows(videos, system, tmp_path, capsys):
    assert detect(videos / "a.mp4", "--out", "memory://made/areas") == 0
    assert detect(videos / "a.mp4", videos / "b.mp4", "--out", "memory://made/areas") == 0
    assert "1 done, 1 finished before" in capsys.readouterr().out
    for part in ("1/2", "2/2"):
        assert detect(videos, "--out", "memory://made/areas", "--shard", part) == 0
    assert detect(videos, "--out", "memory://made/areas") == 0
    said = capsys.readouterr().out
    assert "memory://made/areas" in said
    assert "/tmp" not in said.replace(str(tmp_path), "")
    assert not [path for path in system.find("/made") if "lock" in path]
    there = fetched(system, "/made/areas", tmp_path / "there")
    assert len(list((there / "areas").iterdir())) == 1  # what was put together is gone
    assert detect(videos, "--out", tmp_path / "here") == 0
    assert sorted(AreaStore.open(there)) == NAMES
    assert rows(there) == rows(tmp_path / "here")


def test_a_stopped_run_uploads_what_is_finished(videos, system, monkeypatch, tmp_path):
    from mofo.motion import detect as module

    done = []

    def two(task, progress=None):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task.key)
        return work(task, progress)

    work = module.detect_video
    with monkeypatch.context() as patch:
        patch.setattr(module, "detect_video", two)
        assert detect(videos, "--out", "memory://stopped/areas") != 0
    assert len(AreaStore.open(fetched(system, "/stopped/areas", tmp_path / "there"))) == 2
    assert detect(videos, "--out", "memory://stopped/areas") == 0


def test_scores_and_lists(videos, system, tmp_path, capsys):
    words = [str(videos), "--workers", "0", "--quiet", "--out", "memory://made/scores.parquet"]
    for part in ("1/2", "2/2"):
        assert cli.main(["score", *words, "--shard", part]) == 0
    assert len(system.ls("/made")) == 2
    assert cli.main(["score", *words]) == 0
    assert [Path(path).name for path in system.ls("/made", detail=False)] == ["scores.parquet"]
    kept = "memory://made/kept.csv"
    assert cli.main(["filter", words[-1], "moving >= 0", "--out", kept]) == 0
    assert capsys.readouterr().out.count("uploaded to") == 4
    there = fetched(system, "/made/kept.csv", tmp_path / "kept.csv")
    assert len(mofo.read_catalog([there])) == 3


def test_what_cannot_be_uploaded_is_kept_and_named(videos, system, monkeypatch, capsys):
    from fsspec.implementations.memory import MemoryFileSystem

    def full(self, *paths, **more):
        raise OSError("quota exceeded")

    monkeypatch.setattr(MemoryFileSystem, "put_file", full)
    assert detect(videos, "--out", "memory://full/areas") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "quota exceeded" in said
    assert len(AreaStore.open(Path(said.split()[-1], "areas"))) == 3


def test_what_cannot_be_fetched_leaves_nothing_here(videos, system, monkeypatch, tmp_path, capsys):
    assert detect(videos / "a.mp4", "--out", "memory://made/areas") == 0

    def broken(*_: object) -> None:
        raise OSError("out of reach")

    monkeypatch.setattr(type(system), "get_file", broken)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert detect(videos, "--out", "memory://made/areas") == 1
    assert "out of reach" in capsys.readouterr().err
    assert list((tmp_path / "temporary").iterdir()) == []


def test_several_processes_write_here(videos, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert detect(videos, "--out", "memory://several/areas") == 2


@pytest.fixture
def bucket(monkeypatch):
    """The address of an empty bucket on a server of this test's own."""
    pytest.importorskip("moto.server", reason="pip install 'moto[server]' s3fs")
    pytest.importorskip("s3fs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-east-1", "FSSPEC_S3_ENDPOINT_URL": url,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                with socket.socket() as tried:
                    if tried.connect_ex(("127.0.0.1", int(port))) == 0:
                        break
                time.sleep(0.1)
            s3 = fsspec.filesystem("s3", endpoint_url=url, skip_instance_cache=True)
            s3.mkdir("bucket")
            yield s3
        finally:
            server.kill()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_s3(bucket, videos, tmp_path):
    """Videos, tar shards and results, all in a bucket."""
    assert cli.main(["data", "pack", str(videos), "--out", str(tmp_path / "shards")]) == 0
    bucket.put(str(videos), "bucket/videos", recursive=True)
    bucket.put(str(tmp_path / "shards"), "bucket/shards", recursive=True)
    assert detect("s3://bucket/videos", "--out", "s3://bucket/areas") == 0
    assert detect("s3://bucket/shards", "--out", "s3://bucket/of-shards") == 0
    out = "s3://bucket/scores.parquet"
    assert cli.main(["score", "s3://bucket/videos", "--out", out, "--workers", "0"]) == 0
    assert cli.main(["filter", out, "moving >= 0", "--out", str(tmp_path / "kept.csv")]) == 0
    found = [fetched(bucket, f"bucket/{name}", tmp_path / name) for name in ("areas", "of-shards")]
    assert [len(AreaStore.open(folder)) for folder in found] == [3, 3]
    assert detect(videos, "--out", tmp_path / "here") == 0
    tables = [pq.read_table(folder / "areas") for folder in (tmp_path / "here", *found)]
    names = [name for name in tables[0].column_names if name != "video"]
    assert tables[0].select(names).equals(tables[1].select(names))
