"""Videos of any source as tar shards."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from helpers.shards import folder_of, moving, tar
from mofo import cli
from mofo.datasets.catalog import read_catalog
from mofo.datasets.pack import pack
from mofo.motion.detect import detect_many
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import MofoError


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A list of seven rows of six files in two splits, of which one is not there."""
    root = tmp_path_factory.mktemp("source")
    folder_of(root, ["a/1.x.mp4", "a/1_x.webm", "b/2.MP4", "b/3.avi", "b/4.mkv"])
    rows = ["a/1.x.mp4,walk,,,train,P1", "a/1_x.webm,run,,,train,P1", "b/2.MP4,walk,,,val,P2"]
    rows += ["b/3.avi,jump,0,0.1,train,", "b/3.avi,run,0.1,0.2,train,", "b/4.mkv,,,,val,"]
    rows += ["b/none.mp4,run,,,train,"]
    (root / "all.csv").write_text("\n".join(["path,label,start,end,split,group", *rows]))
    return root / "all.csv"


def said(catalog):
    """What rows say, without where the video is."""
    return sorted(((v.details, v.group) for v in catalog), key=repr)


def test_what_is_packed_is_read_again_with_all_that_is_known(source, tmp_path):
    report = pack(source, tmp_path / "s", size=0.004, progress=False)
    assert report.videos == 5
    assert [path.rpartition("/")[2] for path, _ in report.failures] == ["none.mp4"]
    assert len(report.shards) > 2
    packed, before = read_catalog([tmp_path / "s"]), read_catalog([source])
    assert said(packed) == said(before)
    assert packed.problems == ()
    by_key = {v.key.partition(".tar/")[2] for v in packed}
    assert by_key == {"a/1_x.mp4", "a/1_x_2.webm", "b/2.mp4", "b/3.avi", "b/4.mkv"}
    assert packed.classes == {"label": ("jump", "run", "walk")}
    for name in report.shards:  # the same bytes
        with tarfile.open(tmp_path / "s" / name) as shard:
            for member in shard.getmembers():
                if member.name == "b/4.mkv":
                    content = shard.extractfile(member).read()
                    assert content == (source.parent / "b/4.mkv").read_bytes()
    again = pack(source, tmp_path / "s", size=0.004, progress=False)
    assert again.kept == len(again.shards)
    (tmp_path / "s" / again.shards[0]).write_bytes(b"cut")
    assert pack(source, tmp_path / "s", size=0.004, progress=False).kept == again.kept - 1
    with pytest.raises(MofoError, match="of another set"):
        pack(source, tmp_path / "s", progress=False)
    twice = pack(tmp_path / "s", tmp_path / "t", progress=False)
    assert said(read_catalog([twice.out])) == said(before)


def test_motion_travels_inside(source, tmp_path, capsys):
    settings = DetectSettings(flow="codec")
    detect_many(source, tmp_path / "areas", settings=settings, workers=0, progress=False)
    words = ["data", "pack", str(source), "--out", str(tmp_path / "s"), "--quiet"]
    assert cli.main([*words, "--areas", str(tmp_path / "areas"), "--size", "0.004"]) == 1
    assert f"--data.areas {tmp_path}/s" in capsys.readouterr().out
    with AreaStore.open(tmp_path / "areas") as store, AreaStore.open(tmp_path / "s") as packed:
        assert len(packed) == len(store) == 5
        names = {"a/1_x.mp4": "a/1.x.mp4", "a/1_x_2.webm": "a/1_x.webm", "b/2.mp4": "b/2.MP4"}
        for video in read_catalog([tmp_path / "s"]):
            member = video.key.partition(".tar/")[2]
            own, other = packed[packed.find(video.path)], store[names.get(member, member)]
            np.testing.assert_array_equal(own.box_T4, other.box_T4)
            np.testing.assert_array_equal(own.field_Tyx, other.field_Tyx)
        assert packed.dataset().count_rows() == store.dataset().count_rows()
        assert packed.settings == store.settings
    assert read_catalog([tmp_path / "s"]).problems == ()


def test_the_webdataset_library_reads_it(source, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    report = pack(source, tmp_path / "s", progress=False)
    urls = [str(tmp_path / "s" / name) for name in report.shards]
    samples = []
    for url in urls:
        with Path(url).open("rb") as shard:
            files = webdataset.tariterators.tar_file_expander([{"url": url, "stream": shard}])
            samples += webdataset.tariterators.group_by_keys(files)
    assert len(samples) == 5
    one = next(s for s in samples if s["__key__"] == "a/1_x")
    assert one["cls"] == b"2"
    assert one["mp4"] == (source.parent / "a/1.x.mp4").read_bytes()
    assert b'"split": "train"' in one["json"]
    assert "segments" in next(s for s in samples if "avi" in s)["json"].decode()


def test_nothing_to_pack_is_one_line(tmp_path):
    tar(tmp_path / "s/a.tar", {"a.mp4": moving(tmp_path / "a.mp4")})
    cut = (tmp_path / "s/a.tar").read_bytes()[:1000]
    (tmp_path / "s/a.tar").write_bytes(cut)
    with pytest.raises(MofoError, match=r"no video can be packed: .*shard is cut"):
        pack(tmp_path / "s", tmp_path / "out", progress=False)
