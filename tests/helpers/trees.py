"""Small trees in the layouts that data sets are published in, with their names and quirks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.shards import tar

Make = Callable[[Path], Path]
"""Makes a real video under any name."""


def maker(folder: Path) -> Make:
    """Something that makes real videos of half a second; ``folder`` is for those it copies."""
    from mofo.video.writer import VideoWriter

    folder.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    for name in ("clip.mp4", "clip.webm"):
        with VideoWriter(folder / name, fps=25) as writer:
            for shift in range(12):
                writer.write(np.repeat(np.tile(np.roll(ramp, 4 * shift), (48, 1))[..., None], 3, 2))

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / ("clip.webm" if path.suffix == ".webm" else "clip.mp4"), path)
        return path

    return make


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


SSV2_LABELS = {
    "Holding something next to something": "0",
    "Pushing something from left to right": "1",
    "Putting something similar to other things that are already on the table": "2",
}
_SSV2 = [
    ("78687", "Holding [something] next to [something]", ["potato", "vicks vaporub bottle"]),
    ("42326", "Pushing [something] from left to right", ["a pen"]),
    (
        "100904",
        "Putting [something similar to other things that are already on the table]",
        ["a spoon"],
    ),
]


def ssv2(root: Path, make: Make, *, old_names: bool = False) -> Path:
    """Two training videos of each of three classes, one for validation of two, one for testing."""
    prefix = "something-something-v2-" if old_names else ""
    labels = root if old_names else root / "labels"
    train = [*_SSV2, *((f"1{name}", template, nouns) for name, template, nouns in _SSV2)]
    validation = [(f"2{name}", template, nouns) for name, template, nouns in _SSV2[:2]]
    for split, rows in (("train", train), ("validation", validation)):
        documents = []
        for name, template, nouns in rows:
            label = template
            for noun in nouns:
                label = label.replace(label[label.index("[") : label.index("]") + 1], noun, 1)
            documents.append(
                {"id": name, "label": label, "template": template, "placeholders": nouns}
            )
            make(root / "20bn-something-something-v2" / f"{name}.webm")
        write(labels / f"{prefix}{split}.json", json.dumps(documents))
    make(root / "20bn-something-something-v2" / "1420.webm")
    write(labels / f"{prefix}test.json", json.dumps([{"id": "1420"}]))
    write(labels / f"{prefix}labels.json", json.dumps(SSV2_LABELS))
    return root


KINETICS = (
    # Class, id (which may begin with "-" or "_"), start, split.
    ("abseiling", "-3B32lodo2M", 59, "train"),
    ("abseiling", "-7kbO0v4hag", 107, "train"),
    ("air drumming", "_dbcJuKJQNs", 40, "train"),
    ("air drumming", "-E85rgSm4KQ", 30, "train"),
    ("abseiling", "-gOFAeFo5IE", 0, "validate"),
    ("air drumming", "--nQbRBEz2s", 104, "validate"),
)


def kinetics(root: Path, make: Make, *, flat: bool = True, is_cc: bool = False) -> Path:
    """Four training videos of two classes, two for validation, one for testing."""
    files = {"train": "train", "validate": "val" if is_cc else "validate"}
    for split, name in files.items():
        rows = ["label,youtube_id,time_start,time_end,split" + (",is_cc" if is_cc else "")]
        for label, video, start, of in KINETICS:
            if of == split:
                quoted = f'"{label}"' if " " in label else label
                cells = [quoted, video, str(start), str(start + 10), name, *(["0"] * is_cc)]
                rows.append(",".join(cells))
                folder = root / name if flat else root / name / label.replace(" ", "_")
                make(folder / f"{video}_{start:06d}_{start + 10:06d}.mp4")
        write(root / "annotations" / f"{name}.csv", "\n".join(rows) + "\n")
    write(
        root / "annotations" / "test.csv",
        "youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n",
    )
    make(root / "test" / "--6bJUbfpnQ_000017_000027.mp4")
    return root


def ucf101(root: Path, make: Make) -> Path:
    """Two classes, two groups for training and one for testing; other groups in split 2."""
    lists = root / "ucfTrainTestlist"
    # The class and its files are written differently, and lines end as on Windows.
    names = {"ApplyEyeMakeup": "ApplyEyeMakeup", "HandstandPushups": "HandStandPushups"}
    write(lists / "classInd.txt", "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n")
    for split, tested in ((1, 1), (2, 2)):
        train, test = [], []
        for number, (label, stem) in enumerate(names.items(), 1):
            for group in (1, 2, 3):
                file = f"{label}/v_{stem}_g{group:02d}_c01.avi"
                make(root / "UCF-101" / file)
                (test if group == tested else train).append((file, number))
        write(
            lists / f"trainlist{split:02d}.txt",
            "".join(f"{file} {number}\r\n" for file, number in train),
        )
        write(lists / f"testlist{split:02d}.txt", "".join(f"{file}\r\n" for file, _ in test))
    return root


HMDB51 = {
    "brush_hair": (
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", 1),
        ("April_09_brush_hair_u_nm_np1_ba_goo_1.avi", 1),
        ("Brush_my_hair_without_wearing_the_glasses_brush_hair_u_nm_np1_fr_goo_2.avi", 0),
        ("brushing_hair_2_brush_hair_h_nm_np1_ba_med_2.avi", 2),
    ),
    "wave": (
        ("20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0.avi", 1),
        ("#20_Rhythm_clap_wave_u_nm_np1_fr_goo_0.avi", 1),
        ("Hello!_&_bye_wave_u_cm_np1_fr_goo_4.avi", 2),
    ),
}


def hmdb51(root: Path, make: Make) -> Path:
    """Two classes, two for training and one for testing each, one that is not used."""
    for label, rows in HMDB51.items():
        for file, _ in rows:
            make(root / "hmdb51_org" / label / file)
        for split in (1, 2, 3):
            # In the others, training and testing change places.
            digits = {0: 0, 1: 1, 2: 2} if split == 1 else {0: 0, 1: 2, 2: 1}
            write(
                root / "testTrainMulti_7030_splits" / f"{label}_test_split{split}.txt",
                "".join(f"{file} {digits[digit]} \n" for file, digit in rows),
            )
    return root


DIVING48 = [["Back", "15som", "05Twis", "FREE"], ["Inward", "Dive", "NoTwis", "PIKE"]]


def diving48(root: Path, make: Make) -> Path:
    """Two classes, two for training and one for testing each."""
    for split, numbers in (("train", (0, 1)), ("test", (2,))):
        rows = [
            {
                "vid_name": f"-mmq0PT-u8k_{label}0{number:03d}",
                "label": label,
                "start_frame": 0,
                "end_frame": 12,
            }
            for label in (0, 1)
            for number in numbers
        ]
        for row in rows:
            make(root / "rgb" / f"{row['vid_name']}.mp4")
        write(root / f"Diving48_V2_{split}.json", json.dumps(rows))
        # The first release, with other labels.
        wrong = [{**row, "label": 1 - row["label"]} for row in rows]
        write(root / f"Diving48_{split}.json", json.dumps(wrong))
    write(root / "Diving48_vocab.json", json.dumps(DIVING48))
    return root


def jester(root: Path, make: Make) -> Path:
    """Two classes, two for training and one for validation each, one for testing."""
    rows = {"train": [], "validation": [], "test": ["150"]}
    for label, numbers in (("Swiping Left", (1, 2, 3)), ("Doing other things", (4, 5, 6))):
        rows["train"] += [f"{number};{label}" for number in numbers[:2]]
        rows["validation"] += [f"{numbers[2]};{label}"]
    for number in (*range(1, 7), 150):
        make(root / "20bn-jester-v1" / f"{number}.mp4")
    for split, lines in rows.items():
        write(root / "annotations" / f"jester-v1-{split}.csv", "\n".join(lines) + "\n")
    write(root / "annotations" / "jester-v1-labels.csv", "Swiping Left\nDoing other things\n")
    return root


EPIC_HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
EPIC_VERBS = "id,key,instances,category\n0,take,\"['take', 'get']\",retrieve\n" + (
    "1,turn-on,\"['turn-on', 'switch-on']\",access\n2,cut,['cut'],split\n"
)
EPIC_NOUNS = '"id","key","instances","category"\n0,"tap","[\'tap\']","appliances"\n' + (
    '1,"board:chopping","[\'board\']","utensils"\n2,"onion","[\'onion\']","vegetables"\n'
)
_EPIC = {
    # Video, start, stop, verb, noun.
    "train": (
        ("P01_01", "00:00:00.14", "00:00:00.44", 1, 0),
        ("P01_01", "00:00:00.10", "00:00:00.30", 0, 1),
        ("P02_101", "00:00:00.00", "00:00:00.40", 2, 2),
        ("P02_101", "00:00:00.08", "00:00:00.48", 1, 0),
        ("P02_101", "00:00:00.12", "00:00:00.40", 0, 1),
        ("P01_01", "00:00:00.2", "00:00:00.40", 2, 2),
    ),
    "validation": (
        ("P18_01", "00:00:00.00", "00:00:00.40", 1, 0),
        ("P18_01", "00:00:00.10", "00:00:00.40", 2, 1),
        ("P01_11", "00:00:00.10", "00:00:00.40", 2, 2),
    ),
}


def epic(root: Path, make: Make, *, layout: str = "downloader", full: bool = False) -> Path:
    """Segments of four long videos, and one of a test video; both official layouts.

    ``full``: with as many classes as there really are.
    """
    annotations = root / "epic-kitchens-100-annotations"
    verbs, nouns = ("take", "turn-on", "cut"), ("tap", "board:chopping", "onion")
    videos = {"P01_01", "P02_101", "P18_01", "P01_11", "P01_101"}
    for split, rows in _EPIC.items():
        lines = [EPIC_HEADER]
        for number, (video, start, stop, verb, noun) in enumerate(rows):
            lines.append(
                f"{video}_{number},{video[:3]},{video},{start}0,{start},{stop},8,20,"
                f'"{verbs[verb]} the {nouns[noun]}",{verbs[verb]},{verb},{nouns[noun]},{noun},'
                f"\"['{nouns[noun]}', 'it']\",\"[{noun}, 2]\""
            )
        write(annotations / f"EPIC_100_{split}.csv", "\n".join(lines) + "\n")
    write(
        annotations / "EPIC_100_test_timestamps.csv",
        ",".join(EPIC_HEADER.split(",")[:8])
        + "\nP01_101_0,P01,P01_101,00:00:00.251,00:00:00.06,00:00:00.37,4,19\n",
    )
    more = [[f"{n},{kind}{n},['{kind}{n}'],other\n" for n in range(3, total * full)]
            for kind, total in (("verb", 97), ("noun", 300))]  # fmt: skip
    write(annotations / "EPIC_100_verb_classes.csv", EPIC_VERBS + "".join(more[0]))
    write(annotations / "EPIC_100_noun_classes.csv", EPIC_NOUNS + "".join(more[1]))
    write(annotations / "EPIC_100_tail_verbs.csv", "verb\n2\n")
    write(annotations / "EPIC_100_tail_nouns.csv", "noun\n1\n2\n")
    write(annotations / "EPIC_100_unseen_participant_ids_validation.csv", "participant_id\nP18\n")
    for video in sorted(videos):
        is_new = len(video) == 7
        if layout == "downloader" or is_new:
            make(root / video[:3] / "videos" / f"{video}.MP4")
        else:
            split = "test" if video in ("P01_11",) else "train"
            make(root / "videos" / split / video[:3] / f"{video}.MP4")
    return root


def classes(root: Path, make: Make, *, splits: tuple[str, ...] = ()) -> Path:
    """A folder for each of two classes, inside folders for splits if there are any."""
    for split in splits or ("",):
        for label in ("jump", "run"):
            for number in range(2):
                make(root / split / label / f"{split}{label}{number}.mp4")
    return root


def plain_list(root: Path, make: Make) -> Path:
    """Lists as VideoMAE has them, blanks in between: train.csv and val.csv."""
    for split, numbers in (("train", (0, 1, 2, 3)), ("val", (4, 5))):
        lines = []
        for number in numbers:
            make(root / "videos" / f"clip {number}.mp4")
            lines.append(f"videos/clip {number}.mp4 {number % 2}\n")
        write(root / f"{split}.csv", "".join(lines))
    return root


def activitynet(root: Path, make: Make) -> Path:
    """Two videos for training, one for validation, one for testing; two segments in one."""

    def entry(subset: str, *segments: tuple[float, float, str]) -> dict:
        rows = [{"segment": [start, end], "label": label} for start, end, label in segments]
        return {"duration": 0.5, "subset": subset, "resolution": "64x48", "annotations": rows}

    database = {
        "---9CpRcKoU": entry("training", (0.0, 0.2, "Drinking beer"), (0.2, 0.4, "Washing dishes")),
        "--0edUL8zmA": entry("training", (0.1, 0.4, "Drinking beer")),
        "--1DO2V4K74": entry("validation", (0.0, 0.44, "Washing dishes")),
        "--7XkUcXGGs": entry("testing"),
    }
    for name in database:
        make(root / "videos" / f"v_{name}.mp4")
    document = {"version": "VERSION 1.3", "taxonomy": [], "database": database}
    write(root / "activity_net.v1-3.min.json", json.dumps(document))
    return root


def charades(root: Path, make: Make) -> Path:
    """Two videos for training, one of them with two actions at once; one for testing."""
    lists = root
    write(lists / "Charades_v1_classes.txt", "c000 Holding some clothes\nc001 Sitting in a chair\n")
    header = (
        "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
    )
    row = '{},HR43,Kitchen,6,7,Yes,"A person cooks, and sits.",food;chair,A person cooks.,{},0.48\n'
    both = "c000 0.00 0.30;c001 0.10 0.44"
    train = row.format("46GP8", both) + row.format("N11GT", "c001 0.20 0.40")
    write(lists / "Charades_v1_train.csv", header + train)
    write(lists / "Charades_v1_test.csv", header + row.format("YSKX3", "c000 0.00 0.40"))
    for name in ("46GP8", "N11GT", "YSKX3"):
        make(root / "Charades_v1_480" / f"{name}.mp4")
    return root


def moments(root: Path, make: Make) -> Path:
    """Two training videos of each of two classes, one each for validation."""
    classes = ("adult+female+singing", "clawing")
    write(root / "moments_categories.txt", "adult+female+singing,0\nclawing,1\n")
    for split, count in (("training", 2), ("validation", 1)):
        rows = []
        for label in classes:
            for number in range(count):
                name = f"{label}/flickr-0-{number}-{len(label)}-{split}_1.mp4"
                make(root / split / name)
                rows.append(f"{name},{label},4,1\n")
        write(root / f"{split}Set.csv", "".join(rows))
    return root


def finegym(root: Path, make: Make) -> Path:
    """Three elements for training, one for validation, of three videos."""
    lists = root / "annotations"
    write(
        lists / "gym99_categories.txt",
        "Clabel: 0; set: 1; Glabel: 1; (VT) round-off, flic-flac on\n"
        "Clabel: 1; set: 21; Glabel: 18; (FX) switch leap with 0.5 turn\n",
    )
    train = "{0}_E_000000_000001_A_0000_0001 0\n{0}_E_000000_000001_A_0000_0002 1\n"
    other = "bcdefghijkl_E_000000_000001_A_0000_0001 1\n"
    write(lists / "gym99_train_element_v1.0.txt", train.format("A0xAXXysHUo") + other)
    write(lists / "gym99_val_element.txt", "mnopqrstuvw_E_000000_000001_A_0000_0002 0\n")
    segments = {"A_0000_0001": {"timestamps": [[0.1, 0.3]]}}
    events = {"E_000000_000001": {"timestamps": [[0.05, 0.5]], "segments": segments}}
    write(lists / "finegym_annotation_info_v1.0.json", json.dumps({"A0xAXXysHUo": events}))
    for name in ("A0xAXXysHUo", "bcdefghijkl", "mnopqrstuvw"):
        make(root / "videos" / f"{name}.mp4")
    return root


def hf(root: Path, make: Make) -> Path:
    """As Hugging Face's ``videofolder``: a table in each split's folder."""
    for split, count in (("train", 4), ("test", 2)):
        rows = ["file_name,label"]
        for number in range(count):
            make(root / split / "clips" / f"{split}{number}.mp4")
            rows.append(f"clips/{split}{number}.mp4,{('jump', 'run')[number % 2]}")
        write(root / split / "metadata.csv", "\n".join(rows))
    return root


def multilabel(root: Path, make: Make) -> Path:
    """One list; one to three classes a video."""
    rows = [(0,), (0, 2), (1, 2, 3), (1,), (3,), (2, 3)]
    for number in range(len(rows)):
        make(root / "videos" / f"{number}.mp4")
    lines = [f"videos/{n}.mp4 {' '.join(map(str, row))}\n" for n, row in enumerate(rows)]
    return write(root / "train_list.txt", "".join(lines))


def webdataset(root: Path, make: Make) -> Path:
    """Two tar shards for training and one for validation, classes as names."""
    for shard, numbers in (("train-0", (0, 1)), ("train-1", (2, 3)), ("val-0", (4, 5))):
        members: dict[str, Path | str] = {}
        for number in numbers:
            members[f"{number:04d}.mp4"] = make(root.parent / f"unpacked{number}.mp4")
            members[f"{number:04d}.cls"] = ("jump", "run")[number % 2]
        tar(root / f"{shard}.tar", members)
    return root


TREES = {
    "ssv2": ssv2,
    "epic": epic,
    "kinetics": kinetics,
    "ucf101": ucf101,
    "hmdb51": hmdb51,
    "diving48": diving48,
    "jester": jester,
    "list": plain_list,
    "folder": classes,
    "activitynet": activitynet,
    "charades": charades,
    "moments": moments,
    "finegym": finegym,
    "hf": hf,
    "multilabel": multilabel,
    "webdataset": webdataset,
}
"""By the name of the format."""
