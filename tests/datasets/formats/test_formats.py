"""Each data set in its official layout, read as it is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from helpers import trees
from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.formats.format import FORMATS
from mofo.datasets.video import why_unusable
from mofo.types import MofoError


def read(*sources: str | Path, **more) -> Catalog:
    catalog = read_catalog(sources, **more)
    assert catalog.problems == ()
    assert all(why_unusable(video.path) is None for video in catalog)
    return catalog


def splits(catalog: Catalog) -> dict[str | None, int]:
    return dict(Counter(video.split for video in catalog))


def of(catalog: Catalog, name: str):
    (video,) = [video for video in catalog if name in (video.name, video.key)]
    return video


@pytest.mark.parametrize("name", trees.TREES)
def test_every_tree_is_recognised_as_what_it_is_said_to_be(tmp_path, tiny, name):
    root = trees.TREES[name](tmp_path / "data", tiny)
    catalog = read(root)
    assert len(catalog) > 3
    assert read(f"{name}:{root}") == catalog
    assert any(video.labels for video in catalog)
    assert len({video.key for video in catalog}) == len({video.path for video in catalog})
    for head, classes in catalog.classes.items():
        used = {label for video in catalog for h, label in video.labels if h == head}
        assert used <= set(classes)


def test_every_format_has_a_tree():
    own = {name for name, kind in FORMATS.items() if kind.__module__.startswith("mofo.")}
    assert own == {*trees.TREES, "parquet", "table"}


@pytest.mark.parametrize("old_names", [False, True])
def test_something_something(tmp_path, tiny, old_names):
    root = trees.ssv2(tmp_path / "ssv2", tiny, old_names=old_names)
    catalog = read(root)
    assert splits(catalog) == {"train": 6, "validation": 2, "test": 1}
    assert catalog.classes == {"label": tuple(trees.SSV2_LABELS)}
    assert catalog.flip is False
    # The template's brackets are gone, the nouns of this video are not in the class.
    assert of(catalog, "78687").label == "Holding something next to something"
    assert of(catalog, "100904").label == list(trees.SSV2_LABELS)[2]
    assert of(catalog, "78687").key == "20bn-something-something-v2/78687.webm"
    assert of(catalog, "1420").labels == ()


def test_something_something_answers_and_a_single_list(tmp_path, tiny):
    root = trees.ssv2(tmp_path / "ssv2", tiny)
    trees.write(root / "labels/test-answers.csv", "1420;Pushing something from left to right\n")
    assert of(read(root), "1420").label == "Pushing something from left to right"
    one = read(root / "labels" / "validation.json")
    assert splits(one) == {"validation": 2}
    assert one.classes == {"label": tuple(trees.SSV2_LABELS)}


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("is_cc", [True, False])
def test_kinetics(tmp_path, tiny, flat, is_cc):
    root = trees.kinetics(tmp_path / "k", tiny, flat=flat, is_cc=is_cc)
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "validation": 2, "test": 1}
    video = of(catalog, "_dbcJuKJQNs_000040_000050")
    # The file is cut already: times are of the film on YouTube, not of the file.
    assert (video.label, video.start, video.group) == ("air drumming", None, "_dbcJuKJQNs")
    assert of(catalog, "--6bJUbfpnQ_000017_000027").labels == ()
    assert read(root / "annotations/train.csv").videos == catalog[:4]


def test_kinetics_files_named_by_the_id_alone(tmp_path, tiny):
    tiny(tmp_path / "val" / "air_drumming" / "abc.mp4")
    # The same id, cut twice: the names have to tell the times.
    tiny(tmp_path / "val" / "abseiling" / "xyz_000000_000010.mp4")
    tiny(tmp_path / "val" / "air_drumming" / "xyz_000020_000030.mp4")
    rows = "air drumming,abc,3,13,val\nabseiling,xyz,0,10,val\nair drumming,xyz,20,30,val\n"
    lists = trees.write(tmp_path / "val.csv", "label,youtube_id,time_start,time_end,split\n" + rows)
    labels = [(Path(video.path).stem, video.label) for video in read(lists)]
    assert labels == [
        ("abc", "air drumming"),
        ("xyz_000000_000010", "abseiling"),
        ("xyz_000020_000030", "air drumming"),
    ]


@pytest.mark.parametrize("ending", ["_000059_000069", ""])
def test_kinetics_files_in_place_of_broken_ones(tmp_path, tiny, ending):
    """As CVDF's program unpacks them, beside those that they replace."""
    root = trees.kinetics(tmp_path / "data", tiny)
    mended = root / "replacement" / "replacement_for_corrupted_k400" / f"-3B32lodo2M{ending}.mp4"
    catalog = read_catalog([tiny(mended).parents[2]])
    assert catalog.problems == ()
    assert len(catalog) == 7
    (video,) = (video for video in catalog if video.group == "-3B32lodo2M")
    assert (video.path, video.label, video.split) == (str(mended), "abseiling", "train")


def test_same_name_in_two_folders(tmp_path, tiny):
    for folder in ("air_drumming", "abseiling"):
        tiny(tmp_path / folder / "abc_000003_000013.mp4")
    header = "label,youtube_id,time_start,time_end,split\n"
    lists = trees.write(tmp_path / "val.csv", f"{header}air drumming,abc,3,13,val\n")
    (video,) = read(lists)
    assert video.key == "air_drumming/abc_000003_000013.mp4"
    (tmp_path / "abseiling").rename(tmp_path / "other")
    (tmp_path / "air_drumming").rename(tmp_path / "drums")
    with pytest.raises(Exception, match="2 files are called abc_000003_000013"):
        read_catalog([lists])


def test_ucf101(tmp_path, tiny):
    root = trees.ucf101(tmp_path / "ucf101", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "test": 2}
    assert catalog.classes == {"label": ("ApplyEyeMakeup", "HandstandPushups")}
    video = of(catalog, "v_HandStandPushups_g01_c01")
    assert (video.label, video.split) == ("HandstandPushups", "test")
    assert video.group == "HandstandPushups_g01"
    second = read(root, split_number=2)
    assert of(second, "v_HandStandPushups_g01_c01").split == "train"
    assert of(second, "v_HandStandPushups_g02_c01").split == "test"
    with pytest.raises(Exception, match=r"trainlist03\.txt is missing"):
        read_catalog([root], split_number=3)


def test_ucf101_transcoded_and_with_mended_names(tmp_path, tiny):
    root = trees.ucf101(tmp_path / "ucf101", tiny)
    for path in list(root.rglob("*.avi")):
        path.rename(path.with_name(path.name.replace("HandStand", "Handstand")[:-4] + ".mp4"))
    assert splits(read(root)) == {"train": 4, "test": 2}


def test_hmdb51(tmp_path, tiny):
    root = trees.hmdb51(tmp_path / "hmdb51", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "test": 2}
    assert catalog.classes == {"label": ("brush_hair", "wave")}
    assert of(catalog, "#20_Rhythm_clap_wave_u_nm_np1_fr_goo_0").label == "wave"
    video = of(catalog, "April_09_brush_hair_u_nm_np1_ba_goo_0")
    assert (video.label, video.group) == ("brush_hair", "April_09")
    assert splits(read(root, split_number=2)) == {"train": 2, "test": 4}


def test_diving48(tmp_path, tiny):
    root = trees.diving48(tmp_path / "diving48", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "test": 2}
    assert catalog.classes == {"label": ("Back 15som 05Twis FREE", "Inward Dive NoTwis PIKE")}
    # Version 2 is taken, not the first one with its other labels.
    video = of(catalog, "-mmq0PT-u8k_00000")
    assert (video.label, video.group) == ("Back 15som 05Twis FREE", "-mmq0PT-u8k")
    assert splits(read(root / "Diving48_V2_test.json")) == {"test": 2}


def test_jester(tmp_path, tiny):
    root = trees.jester(tmp_path / "jester", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "validation": 2, "test": 1}
    # In the order of the list, not of the alphabet.
    assert catalog.classes == {"label": ("Swiping Left", "Doing other things")}
    assert catalog.flip is False
    assert splits(read(root / "annotations" / "jester-v1-train.csv")) == {"train": 4}


@pytest.mark.parametrize("layout", ["downloader", "archives"])
def test_epic(tmp_path, tiny, layout):
    root = trees.epic(tmp_path / "EPIC-KITCHENS", tiny, layout=layout)
    catalog = read(root)
    assert splits(catalog) == {"train": 6, "validation": 3, "test": 1}
    video = of(catalog, "P01_01_0")
    assert Path(video.path).name == "P01_01.MP4"
    assert video.labels == (("verb", "turn-on"), ("noun", "tap"), ("action", "turn-on tap"))
    assert (video.start, video.end, video.group) == (0.14, 0.44, "P01_01")
    assert of(catalog, "P01_101_0").labels == ()
    # Pairs of both lists, ordered by their numbers: "cut board:chopping" is in validation only.
    assert catalog.classes["action"] == (
        "take board:chopping", "turn-on tap", "cut board:chopping", "cut onion",
    )  # fmt: skip


def test_epic_one_list_knows_the_same_classes(tmp_path, tiny):
    root = trees.epic(tmp_path / "EPIC-KITCHENS", tiny)
    lists = root / "epic-kitchens-100-annotations"
    one = read(lists / "EPIC_100_validation.csv", lists / "EPIC_100_train.csv")
    assert one.classes == read(root).classes
    assert splits(one) == {"train": 6, "validation": 3}
    assert splits(read(lists)) == splits(read(root))


def test_epic_annotations_apart_from_the_videos(tmp_path, tiny):
    root = trees.epic(tmp_path / "disk" / "EPIC-KITCHENS", tiny)
    moved = tmp_path / "elsewhere" / "annotations"
    moved.parent.mkdir()
    (root / "epic-kitchens-100-annotations").rename(moved)
    assert len(read(moved, videos=root)) == 10


def test_epic_tail_and_unseen(tmp_path, tiny):
    root = trees.epic(tmp_path / "EPIC-KITCHENS", tiny)
    assert read(root).apart == {
        "tail": {"verb": ("cut",), "noun": ("board:chopping", "onion")},
        "unseen": {"validation": ("P18",)},
    }


def test_class_folders(tmp_path, tiny):
    catalog = read(trees.classes(tmp_path / "mine", tiny))
    assert [(video.key, video.label) for video in catalog] == [
        ("jump/jump0.mp4", "jump"), ("jump/jump1.mp4", "jump"),
        ("run/run0.mp4", "run"), ("run/run1.mp4", "run"),
    ]  # fmt: skip
    assert splits(catalog) == {None: 4}


def test_class_folders_in_splits(tmp_path, tiny):
    root = trees.classes(tmp_path / "mine", tiny, splits=("Train", "val"))
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "validation": 4}
    assert {video.label for video in catalog} == {"jump", "run"}


def test_folders_that_are_no_classes(tmp_path, tiny):
    for name in ("a/1.mp4", "a/b/2.mp4", "3.mp4"):
        tiny(tmp_path / "mine" / name)
    assert [video.labels for video in read(tmp_path / "mine")] == [(), (), ()]
    assert [video.label for video in read(f"folder:{tmp_path / 'mine'}")] == [None, "a", "a"]
    (tmp_path / "mine" / "3.mp4").unlink()
    (tmp_path / "mine" / "a" / "b" / "2.mp4").unlink()
    # One folder is no choice of classes.
    assert [video.labels for video in read(tmp_path / "mine")] == [()]


def test_a_folder_for_each_video_is_no_class(tmp_path, tiny):
    for name in ("x1/clip.mp4", "x2/clip.mp4", "x3/clip.mp4"):
        tiny(tmp_path / "mine" / name)
    assert [video.labels for video in read(tmp_path / "mine")] == [(), (), ()]
    assert [video.label for video in read(f"folder:{tmp_path / 'mine'}")] == ["x1", "x2", "x3"]


def test_splits_without_classes(tmp_path, tiny):
    for name in ("train/1.mp4", "test/2.mp4"):
        tiny(tmp_path / "mine" / name)
    catalog = read(tmp_path / "mine")
    assert [(video.split, video.labels) for video in catalog] == [("test", ()), ("train", ())]


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("{} 3", "3"),
        ("{},3", "3"),
        ("{}\t3", "3"),
        ("{}, 3", "3"),
        ("{} 250 3", "3"),
        ("{},250,3", "3"),
        ("{} 0 -1", None),
        ("{}", None),
        ("{} brush hair", "brush hair"),
        ('{},"brush hair"', "brush hair"),
    ],
)
@pytest.mark.parametrize("ending", [".txt", ".csv"])
@pytest.mark.parametrize("name", ["a.mp4", "sub folder/my.clip b.mp4"])
def test_lines_of_plain_lists(tmp_path, tiny, line, label, ending, name):
    path = tiny(tmp_path / name)
    for written in (name, str(path)):
        text = line.format(written) + "\n\n"
        lists = trees.write(tmp_path / f"k400_train_list{ending}", text)
        (video,) = read(lists)
        assert (video.path, video.label, video.split) == (str(path), label, "train")


def test_numbers_of_plain_lists_are_the_classes(tmp_path, tiny):
    root = trees.plain_list(tmp_path / "list", tiny)
    text = (root / "train.csv").read_text().replace(".mp4 1", ".mp4 12")
    (root / "train.csv").write_text(text)
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "validation": 2}
    # Class 12 is number 12, though none is between.
    assert catalog.classes == {"label": tuple(map(str, range(13)))}
    # The validation list alone knows fewer of the same.
    one = read(root / "val.csv", root / "train.csv")
    assert one.classes == catalog.classes


def test_plain_list_with_videos_elsewhere(tmp_path, tiny):
    tiny(tmp_path / "disk" / "k400" / "a.mp4")
    lists = trees.write(tmp_path / "lists" / "val.csv", "k400/a.mp4 7\n")
    (video,) = read(lists, videos=tmp_path / "disk")
    assert (video.key, video.label, video.split) == ("k400/a.mp4", "7", "validation")


@pytest.mark.parametrize("ending", [".txt", ".csv"])
def test_comments_and_quotes_in_plain_lists(tmp_path, tiny, ending):
    for name in ("a b.mp4", "c.mp4", "#d.mp4"):
        tiny(tmp_path / name)
    text = '# my list\n"a b.mp4", "b, c"\n\n# more\nc.mp4 1\n#d.mp4 2\n'
    lists = trees.write(tmp_path / f"train{ending}", text)
    assert [(v.key, v.label) for v in read(lists)] == [
        ("a b.mp4", "b, c"), ("c.mp4", "1"), ("#d.mp4", "2"),
    ]  # fmt: skip


def test_a_stray_video_takes_no_labels_away(tmp_path, tiny):
    root = trees.classes(tmp_path / "mine", tiny)
    for stray in ("junk/old/x.mp4", "x.mp4"):
        tiny(root / stray)
        labels = {video.key: video.label for video in read(root)}
        assert labels.pop(stray) is None
        assert set(labels.values()) == {"jump", "run"}
        (root / stray).unlink()
    split = trees.classes(tmp_path / "split", tiny, splits=("train", "val"))
    tiny(split / "train" / "x.mp4")
    catalog = read(split)
    assert of(catalog, "train/x.mp4").label is None
    assert splits(catalog) == {"train": 5, "validation": 4}
    assert sum(video.label is not None for video in catalog) == 8


def test_activitynet(tmp_path, tiny):
    root = trees.activitynet(tmp_path / "a", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 3, "validation": 1, "test": 1}
    assert catalog.classes == {"label": ("Drinking beer", "Washing dishes")}
    assert [(v.start, v.end, v.label) for v in catalog if v.name == "---9CpRcKoU"] == [
        (0.0, 0.2, "Drinking beer"), (0.2, 0.4, "Washing dishes"),
    ]  # fmt: skip
    one = (root / "activity_net.v1-3.min.json").rename(root / "hacs.json")
    assert read(one).videos == catalog.videos
    document = json.loads(one.read_text())
    rows = document["database"]["---9CpRcKoU"]["annotations"]
    rows[0]["segment"], rows[1]["segment"] = [0.3, 0.1], "soon"
    one.write_text(json.dumps(document))
    after = read_catalog([one])
    assert len(after) == len(catalog) - 2
    assert [reason.partition(" ")[0] for _, reason in after.problems] == ["segment", "annotation"]


def test_charades(tmp_path, tiny):
    root = trees.charades(tmp_path / "c", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 3, "test": 1}
    assert catalog.classes == {"label": ("Holding some clothes", "Sitting in a chair")}
    rows = [(v.label, v.start, v.end, v.group) for v in catalog if v.name == "46GP8"]
    assert rows == [
        ("Holding some clothes", 0.0, 0.3, "HR43"), ("Sitting in a chair", 0.1, 0.44, "HR43"),
    ]  # fmt: skip
    lists = root / "Charades_v1_test.csv"
    lists.write_text(lists.read_text().replace("c000 0.00 0.40", "c999 0.00 0.40;c000 2 1"))
    assert [text[:13] for _, text in read_catalog([root]).problems] == [
        "action 'c999 ",
        "action 'c000 ",
    ]


def test_moments_in_time(tmp_path, tiny):
    root = trees.moments(tmp_path / "m", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "validation": 2}
    assert catalog.classes == {"label": ("adult+female+singing", "clawing")}
    assert {video.label for video in catalog} == {"adult+female+singing", "clawing"}
    assert splits(read(root / "validationSet.csv")) == {"validation": 2}


def test_finegym(tmp_path, tiny):
    root = trees.finegym(tmp_path / "g", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 3, "validation": 1}
    first = of(catalog, "A0xAXXysHUo_E_000000_000001_A_0000_0001")
    assert (first.start, first.end) == pytest.approx((0.15, 0.35))  # by the annotations
    assert first.label == "(VT) round-off, flic-flac on"
    second = of(catalog, "A0xAXXysHUo_E_000000_000001_A_0000_0002")
    assert (second.start, second.end) == (0.0, 2.0)  # by its name
    cut = tiny(root / "cut" / f"{first.name}.mp4")
    again = of(read(root), first.name)
    assert (again.path, again.start, again.end) == (str(cut), None, None)


def test_hugging_face_folder(tmp_path, tiny):
    root = trees.hf(tmp_path / "h", tiny)
    catalog = read(root)
    assert splits(catalog) == {"train": 4, "test": 2}
    assert of(catalog, "train/clips/train1.mp4").label == "run"
    assert len(read(root / "train" / "metadata.csv")) == 4
    rows = ['{"file_name": "clips/test0.mp4", "labels": ["a", "b"], "start": 0.1}', "[]", "{"]
    (root / "test" / "metadata.csv").unlink()
    trees.write(root / "test" / "metadata.jsonl", "\n".join(rows))
    after = read_catalog([root])
    assert of(after, "test/clips/test0.mp4").labels == (("label", "a"), ("label", "b"))
    assert len(after.problems) == 2


def test_lists_of_several_classes(tmp_path, tiny):
    path = trees.multilabel(tmp_path / "m", tiny)
    catalog = read(path)
    labels = [[name for _, name in video.labels] for video in catalog]
    assert labels == [["0"], ["0", "2"], ["1", "2", "3"], ["1"], ["3"], ["2", "3"]]
    assert catalog.classes == {"label": ("0", "1", "2", "3")}
    assert {video.split for video in catalog} == {"train"}
    # As many numbers in each line may mean something else: nonsense is not made up.
    path.write_text("".join(f"videos/{n}.mp4 0 {n} {n + 1}\n" for n in range(6)))
    with pytest.raises(MofoError, match="multilabel:"):
        read_catalog([path])
    assert len(read(f"multilabel:{path}")) == 6


def test_quarantine(tmp_path, tiny):
    root = trees.epic(tmp_path / "EPIC-KITCHENS", tiny)
    before = read(root)
    lists = trees.write(
        tmp_path / "quarantine.csv",
        "path,start,end,reason\n"
        "EPIC-KITCHENS/P18/videos/P18_01.MP4,,,cannot be read\n"
        f"{root}/P01/videos/P01_01.MP4,0.14,0.44,no frames\n",
    )
    catalog = read(root, f"exclude:{lists}")
    gone = [video.name for video in before if video not in catalog.videos]
    assert gone == ["P01_01_0", "P18_01_0", "P18_01_1"]
    assert [reason for _, reason in catalog.excluded] == [
        "no frames", "cannot be read", "cannot be read",
    ]  # fmt: skip
