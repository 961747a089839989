"""What is wrong with a data set: one clear line each, and what is right is not lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers import trees
from mofo.datasets.catalog import read_catalog
from mofo.types import MofoError

EPIC = "epic-kitchens-100-annotations"


def fails(source: str | Path, expected: str, **more) -> None:
    with pytest.raises(MofoError, match=expected) as caught:
        read_catalog([source], **more)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "missing", "expected"),
    [
        ("ssv2", "labels/labels.json", r"something-something-v2-labels\.json is missing"),
        (
            "epic",
            "epic-kitchens-100-annotations/EPIC_100_noun_classes.csv",
            "noun_classes.csv is m",
        ),
        ("ucf101", "ucfTrainTestlist/classInd.txt", "classInd.txt is missing"),
        ("ucf101", "ucfTrainTestlist/testlist01.txt", "testlist01.txt is missing"),
        ("diving48", "Diving48_vocab.json", "vocab.json is missing"),
        ("jester", "annotations/jester-v1-labels.csv", "-labels.csv is missing"),
    ],
)
def test_missing_label_file(tmp_path, tiny, name, missing, expected):
    root = trees.TREES[name](tmp_path / "data", tiny)
    (root / missing).unlink()
    fails(f"{name}:{root}", expected)


def test_missing_lists(tmp_path, tiny):
    root = trees.hmdb51(tmp_path / "data", tiny)
    fails(root, "has no .*_test_split4", split_number=4)
    root = trees.ssv2(tmp_path / "ssv2", tiny)
    for split in ("train", "validation", "test"):
        (root / "labels" / f"{split}.json").unlink()
    fails(f"ssv2:{root}", r"v2-train\.json is missing")


@pytest.mark.parametrize("name", sorted({*trees.TREES} - {"folder", "webdataset"}))
def test_a_video_that_is_not_there_is_named_and_the_others_are_used(tmp_path, tiny, name):
    root = trees.TREES[name](tmp_path / "data", tiny)
    before = read_catalog([root])
    gone = before[0]
    Path(gone.path).unlink()
    after = read_catalog([root])
    lost = [video for video in before if video.path == gone.path]
    assert list(after) == [video for video in before if video not in lost]
    assert len(set(after.problems)) == len(after.problems) >= 1
    stem = Path(gone.path).stem
    assert all(stem.removeprefix("v_") in "".join(problem) for problem in after.problems)


def test_no_video_at_all_says_where_it_looked(tmp_path, tiny):
    root = trees.ssv2(tmp_path / "data", tiny)
    for path in root.rglob("*.webm"):
        path.unlink()
    fails(root, "none of its 9 videos .*id 78687.*no video called 78687 below .*--videos")


def test_unknown_class(tmp_path, tiny):
    root = trees.ssv2(tmp_path / "ssv2", tiny)
    lists = root / "labels" / "train.json"
    rows = json.loads(lists.read_text())
    rows[1]["template"] = "Juggling [something]"
    rows[2] = {"label": "no id here"}
    lists.write_text(json.dumps(rows))
    catalog = read_catalog([root])
    assert len(catalog) == 7
    assert [(name.rpartition(", ")[2], reason) for name, reason in catalog.problems] == [
        ("id 42326", "class 'Juggling something' is not in labels.json"),
        ("video 3", "has no id"),
    ]


def test_unknown_class_in_other_formats(tmp_path, tiny):
    root = trees.diving48(tmp_path / "d", tiny)
    lists = root / "Diving48_V2_train.json"
    lists.write_text(lists.read_text().replace('"label": 1', '"label": 48'))
    assert {reason for _, reason in read_catalog([root]).problems} == {
        "class 48 is not in Diving48_vocab.json"
    }
    root = trees.jester(tmp_path / "j", tiny)
    lists = root / "annotations" / "jester-v1-train.csv"
    lists.write_text(lists.read_text() + "9;Dancing\n")
    assert read_catalog([root]).problems == (
        (f"{lists}, line 5", "class 'Dancing' is not in jester-v1-labels.csv"),
    )
    root = trees.ucf101(tmp_path / "u", tiny)
    lists = root / "ucfTrainTestlist" / "testlist01.txt"
    lists.write_text("Dancing/v_Dancing_g01_c01.avi\nv_ApplyEyeMakeup_g01_c01.avi\n")
    assert [reason for _, reason in read_catalog([root]).problems] == [
        "Dancing/v_Dancing_g01_c01.avi: its folder is no class of classInd.txt",
        "v_ApplyEyeMakeup_g01_c01.avi: its folder is no class of classInd.txt",
    ]


def test_malformed_rows_of_epic(tmp_path, tiny):
    root = trees.epic(tmp_path / "EPIC-KITCHENS", tiny)
    lists = root / "epic-kitchens-100-annotations" / "EPIC_100_train.csv"
    header, *rows = lists.read_text().splitlines()
    rows[0] = rows[0].replace("00:00:00.44", "soon")
    rows[1] = rows[1].replace("00:00:00.30,", "00:00:00.05,")
    rows[2] = rows[2].replace(",cut,2,", ",cut,97,")
    rows[3] = "P02_101_3"
    lists.write_text("\n".join([header, *rows]))
    catalog = read_catalog([root])
    assert len(catalog) == 6
    assert [(name.rpartition(", ")[2], reason) for name, reason in catalog.problems] == [
        ("line 2", "time stamps must be such as 00:01:02.34"),
        ("line 3", "the segment P01_01_1 stops before it starts"),
        ("line 4", "verb_class 97, noun_class 2: no such classes"),
        ("line 5", "time stamps must be such as 00:01:02.34"),
    ]


def test_malformed_rows_of_kinetics_and_hmdb51(tmp_path, tiny):
    root = trees.kinetics(tmp_path / "k", tiny)
    lists = root / "annotations" / "train.csv"
    lists.write_text(lists.read_text() + "abseiling,zzz,then,now,train\nabseiling,,1,2,train\n")
    assert [reason for _, reason in read_catalog([root]).problems] == [
        "time_start and time_end must be seconds", "no youtube_id in this row",
    ]  # fmt: skip
    root = trees.hmdb51(tmp_path / "h", tiny)
    lists = root / "testTrainMulti_7030_splits" / "wave_test_split1.txt"
    lists.write_text(lists.read_text() + "only_a_name.avi\nname.avi 3\n")
    assert [reason for _, reason in read_catalog([root]).problems] == [
        "expected a file's name and 0, 1 or 2"
    ] * 2


@pytest.mark.parametrize("row", ["a.mp4,left,train", 'a.mp4, 3 ,"val"', "b/a.mp4,run, fast,Test"])
def test_a_table_without_its_first_line(tmp_path, tiny, row):
    """Else label and split would be one class, and nothing would be validated."""
    tiny(tmp_path / "a.mp4")
    table = trees.write(tmp_path / "list.csv", f"{row}\na.mp4,right,validation\n")
    fails(table, r"list.csv: line 1 seems to be path, label and split .* path,label,split$")


def test_malformed_lines_of_plain_lists(tmp_path, tiny):
    root = trees.plain_list(tmp_path / "list", tiny)
    lists = root / "train.csv"
    lists.write_text(
        lists.read_text() + "just some words\nb.mp4,0902,0.1,0.2,0.3,0.4,12,0\nvideos/gone.mp4 1\n"
    )
    catalog = read_catalog([root])
    assert len(catalog) == 6
    assert catalog.problems == (
        (f"{lists}, line 5", "expected a path and a class: 'just some words'"),
        (
            f"{lists}, line 6",
            "'0902,0.1,0.2,0.3,0.4,12,0' seems to be a box or times, expected a class",
        ),
        (str(root / "videos/gone.mp4"), "does not exist"),
    )


def test_lists_of_pictures(tmp_path, tiny):
    (tmp_path / "frames" / "182040").mkdir(parents=True)
    lists = trees.write(tmp_path / "train.csv", "frames/182040 58 12\nframes/182040 9601 300\n")
    fails(lists, "is a folder, not a video file")


@pytest.mark.parametrize(
    ("name", "file", "damage", "expected"),
    [
        ("ssv2", "labels/train.json", b"\xff\xfe[]", "line 1 is not UTF-8"),
        ("ssv2", "labels/train.json", b'[{"id": ', "train.json: is no JSON"),
        ("ssv2", "labels/train.json", b"{}", "holds an object, expected a list"),
        ("ssv2", "labels/labels.json", b'{"a": "0", "b": "0"}', "not numbered from 0 to 1"),
        ("ssv2", "labels/labels.json", b'{"a": "zero"}', "a class without a number"),
        (
            "kinetics",
            "annotations/train.csv",
            b"youtube_id,time_start,time_end\n\xff,",
            "line 2 is",
        ),
        ("ucf101", "ucfTrainTestlist/classInd.txt", b"ApplyEyeMakeup", "a number and a class"),
        ("hmdb51", "testTrainMulti_7030_splits/wave_test_split1.txt", b"a\nb\xe9", "line 2 is not"),
        ("diving48", "Diving48_V2_train.json", b'[{"label": 1}]', "video 1: has no vid_name"),
        ("jester", "annotations/jester-v1-labels.csv", b"a\na\n", "names a class twice"),
        (
            "epic",
            f"{EPIC}/EPIC_100_verb_classes.csv",
            b"id,name\n",
            "no colu",
        ),
        ("list", "train.csv", b"videos/a.mp4 1\nvideos/\xff.mp4 1\n", "line 2 is not UTF-8"),
    ],
)
def test_damaged_label_files(tmp_path, tiny, name, file, damage, expected):
    root = trees.TREES[name](tmp_path / "data", tiny)
    (root / file).write_bytes(damage)
    fails(f"{name}:{root}", expected)


def test_sources_that_cannot_be_told(tmp_path, tiny):
    root = trees.ucf101(tmp_path / "both", tiny)
    trees.hmdb51(root, tiny)
    fails(root, "may be hmdb51 or ucf101: say which, as in hmdb51:")
    assert len(read_catalog([f"hmdb51:{root}"])) == 6
    fails(f"ucf101:{tmp_path}/none", "none: does not exist")
    fails(f"ufc101:{root}", "does not exist")
    fails(root, "no such folder: it should hold the videos", videos=tmp_path / "none")


def test_two_orders_of_classes(tmp_path, tiny):
    one = trees.ssv2(tmp_path / "1", tiny)
    two = trees.ssv2(tmp_path / "2", tiny)
    labels = two / "labels" / "labels.json"
    names = list(trees.SSV2_LABELS)[::-1]
    labels.write_text(json.dumps({name: str(number) for number, name in enumerate(names)}))
    with pytest.raises(MofoError, match="numbers the classes of 'label' in another way"):
        read_catalog([one, two])


def test_bad_quarantine(tmp_path, tiny):
    video = tiny(tmp_path / "a.mp4")
    fails_with = {"name\nx\n": "no column path", "path,start\na.mp4,x\n": "must be seconds"}
    for text, expected in fails_with.items():
        lists = trees.write(tmp_path / "q.csv", text)
        with pytest.raises(MofoError, match=expected):
            read_catalog([video, f"exclude:{lists}"])
    with pytest.raises(MofoError, match="cannot be read"):
        read_catalog([video, f"exclude:{tmp_path}/none.csv"])


@pytest.mark.parametrize("name", [name for name in trees.TREES if name != "folder"])
def test_any_damage_gives_one_line(tmp_path, tiny, name):
    """Label files with bytes put in, left out and changed: an error of one line, or a catalog."""
    root = trees.TREES[name](tmp_path / "data", tiny)
    files = [path for path in root.rglob("*") if path.suffix in (".json", ".csv", ".txt", ".tar")]
    files = files or [root]
    wrong = [*b'" , \n \x00 \xff [ } inf nan -1 .. '.split(b" "), b"9" * 5000]
    rng = np.random.default_rng(0)
    refused: list[str] = []
    for _ in range(20):
        path = files[rng.integers(len(files))]
        before = path.read_bytes()
        place = int(rng.integers(len(before)))
        left_out = int(rng.integers(20))
        path.write_bytes(
            before[:place] + wrong[rng.integers(len(wrong))] + before[place + left_out :]
        )
        for source in (root, path, f"{name}:{path}"):
            try:
                read_catalog([source])
            except MofoError as error:
                refused.append(str(error))
        path.write_bytes(before)
    assert refused or name == "webdataset"  # of a shard, what is before the damage is used
    assert not any("\n" in text for text in refused)
    assert read_catalog([root]).problems == ()
