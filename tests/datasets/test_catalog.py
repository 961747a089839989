from __future__ import annotations

import os
import socket
from pathlib import Path
from unicodedata import normalize

import pytest

from mofo.datasets.catalog import Catalog, Video, read_catalog
from mofo.types import MofoError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    names = ["b.mp4", "a.MKV", "notes.txt", "x/c.webm", "x/y/d.avi", ".hidden.mp4", ".git/e.mp4"]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"v")
    return root


def keys(*sources: str | Path) -> list[str]:
    catalog = read_catalog(sources)
    assert catalog.problems == ()
    assert all(Path(video.path).is_absolute() for video in catalog)
    return [video.key for video in catalog]


def test_folder(tree: Path) -> None:
    assert keys(tree) == ["a.MKV", "b.mp4", "x/c.webm", "x/y/d.avi"]
    assert keys(f"{tree}/") == ["a.MKV", "b.mp4", "x/c.webm", "x/y/d.avi"]


def test_relative_sources(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "x")
    assert keys("y") == ["d.avi"]
    assert keys(".") == ["c.webm", "y/d.avi"]
    assert keys("..") == ["a.MKV", "b.mp4", "x/c.webm", "x/y/d.avi"]
    assert keys("c.webm") == ["c.webm"]
    assert keys("*/d.*") == ["y/d.avi"]


def test_file_of_any_name(tree: Path) -> None:
    (tree / "clip.dat").write_bytes(b"v")
    assert keys(tree / "clip.dat") == ["clip.dat"]
    assert keys(tree / ".hidden.mp4") == [".hidden.mp4"]


def test_is_a_sequence(tree: Path) -> None:
    catalog = read_catalog([tree])
    assert isinstance(catalog, Catalog)
    assert len(catalog) == 4
    assert catalog[0] == Video(str(tree / "a.MKV"), "a.MKV")
    assert catalog[1:3] == catalog.videos[1:3]
    assert catalog.videos[2] in catalog
    assert read_catalog(str(tree)) == catalog


def test_patterns(tree: Path) -> None:
    assert keys(f"{tree}/*.mp4") == ["b.mp4"]
    assert keys(f"{tree}/x/*") == ["c.webm", "y/d.avi"]
    assert keys(f"{tree}/**/*.avi") == ["x/y/d.avi"]
    assert keys(f"{tree}/**/[cd].*") == ["x/c.webm", "x/y/d.avi"]
    assert keys(f"{tree}/**") == ["a.MKV", "b.mp4", "x/c.webm", "x/y/d.avi"]
    assert keys(f"{tree}/**/y") == ["x/y/d.avi"]


def test_a_name_that_looks_like_a_pattern(tree: Path) -> None:
    (tree / "take [1].mp4").write_bytes(b"v")
    assert keys(tree / "take [1].mp4") == ["take [1].mp4"]


def test_names_in_any_script(tmp_path: Path) -> None:
    names = ["my clip.mp4", "видео.mp4", "動画/走る 人.webm"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"v")
    assert keys(tmp_path) == names
    table = tmp_path / "list.csv"
    table.write_text("path\n" + "\n".join(names), encoding="utf-8-sig")
    assert keys(table) == names


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")).write_bytes(b"v")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / "a.mp4").write_bytes(b"v")
    catalog = read_catalog([tmp_path])
    assert [video.key for video in catalog] == ["a.mp4"]
    assert [reason for _, reason in catalog.problems] == ["its name is not UTF-8; rename it"]
    catalog.problems[0][0].encode()


def test_links(tree: Path) -> None:
    (tree / "x" / "loop").symlink_to(tree)
    (tree / "x" / "y" / "self").symlink_to(".")
    (tree / "z").symlink_to(tree / "x")
    (tree / "same.mp4").symlink_to("b.mp4")
    expected = ["a.MKV", "b.mp4", "x/c.webm", "x/y/d.avi"]
    assert keys(tree) == expected
    assert keys(f"{tree}/**/*") == expected
    assert keys(tree / "same.mp4", tree / "b.mp4") == ["same.mp4"]
    (tree / "x" / "loop").unlink()
    assert keys(tree / "z" / "c.webm", tree / "x") == ["c.webm", "y/d.avi"]


def test_same_file_twice(tree: Path) -> None:
    assert keys(tree / "b.mp4", tree, tree / "b.mp4") == [
        "b.mp4",
        "a.MKV",
        "x/c.webm",
        "x/y/d.avi",
    ]


def test_same_key_twice(tmp_path: Path) -> None:
    for name in ("1/train/a.mp4", "1/train/b.mp4", "2/train/a.mp4", "3/test/c.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True) if not path.parent.is_dir() else None
        path.write_bytes(b"v")
    sources = [tmp_path / "1/train", tmp_path / "2/train", tmp_path / "3/test"]
    assert keys(*sources) == ["1/train/a.mp4", "1/train/b.mp4", "2/train/a.mp4", "c.mp4"]
    assert keys(tmp_path / "1/train/a.mp4", tmp_path / "3/test/c.mp4") == ["a.mp4", "c.mp4"]
    (tmp_path / "3/test/a.mp4").write_bytes(b"v")
    assert keys(sources[0] / "a.mp4", sources[2] / "a.mp4") == ["train/a.mp4", "test/a.mp4"]


def test_table(tree: Path) -> None:
    table = tree / "list.csv"
    table.write_text(
        "Label, path ,start,end,extra\n"
        'jump,x/c.webm,1.5,3,\n"run, fast",b.mp4,,,?\njump,x/c.webm,4,6\n'
        ",x/c.webm,4,6\n,./x/../b.mp4,,\n,x/c.webm,4,6\n"
    )
    catalog = read_catalog([table])
    assert catalog.problems == ()
    c, b = str(tree / "x" / "c.webm"), str(tree / "b.mp4")
    assert catalog.videos == (
        Video(c, "x/c.webm", (("label", "jump"),), 1.5, 3.0),
        Video(b, "b.mp4", (("label", "run, fast"),)),
        Video(c, "x/c.webm", (("label", "jump"),), 4.0, 6.0),
        Video(c, "x/c.webm", (), 4.0, 6.0),
        Video(b, "b.mp4"),
    )
    assert [v.key for v in read_catalog([table, tree])][5:] == ["a.MKV", "x/y/d.avi"]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_as_spreadsheets_save_them(tree: Path, mark: str) -> None:
    """With a byte order mark, ends of lines as on Windows, other marks between cells."""
    table = tree / "list.csv"
    cells = [["path", "label", "labels", "start", ""], ["b.mp4", '"run, fast"', '"a;b"', "1.5", ""]]
    text = "\r\n".join(mark.join(row) for row in cells) + "\r\n"
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    (video,) = read_catalog([table])
    labels = tuple(("label", name) for name in ("run, fast", "a", "b"))
    assert video == Video(str(tree / "b.mp4"), "b.mp4", labels, 1.5)
    (tree / "no.csv").write_text(f"path{mark}reason\nb.mp4{mark}dark\n")
    assert read_catalog([table, f"exclude:{tree / 'no.csv'}"]).excluded[0][1] == "dark"


def test_a_quarantine_list_with_a_path_that_cannot_be(tree: Path) -> None:
    (tree / "no.csv").write_text("path\na\0.mp4\n")
    with pytest.raises(MofoError, match=r"no.csv, line 2: .* zero byte"):
        read_catalog([tree / "b.mp4", f"exclude:{tree / 'no.csv'}"])


def test_a_label_is_never_cut_at_its_comma(tree: Path) -> None:
    table = tree / "list.csv"
    table.write_text("path,label\nb.mp4,run, fast\na.MKV,run,,\n")
    catalog = read_catalog([table])
    assert [(video.key, video.label) for video in catalog] == [("a.MKV", "run")]
    ((where, reason),) = catalog.problems
    assert (where, reason.partition(":")[0]) == (
        f"{table}, line 2",
        "more cells than the first line has",
    )


def test_table_with_files_outside_its_folder(tree: Path, tmp_path: Path) -> None:
    table = tmp_path / "lists" / "train.csv"
    table.parent.mkdir()
    table.write_text(f"path\n../data/b.mp4\n{tree}/x/c.webm\n")
    assert keys(table) == ["b.mp4", "x/c.webm"]


def test_bad_rows_are_problems(tree: Path) -> None:
    table = tree / "list.csv"
    table.write_text(
        "path,start,end\nb.mp4,a,\nb.mp4,3,2\nnone.mp4,,\n,1,2\nx,,\na.MKV,-1,\nb.mp4,1,2\n"
        "x\\c.webm,,\n"
    )
    catalog = read_catalog([table])
    assert [video.key for video in catalog] == ["b.mp4"]
    assert catalog.problems == (
        (f"{table}, line 2", "start and end must be seconds, such as 12.5"),
        (f"{table}, line 3", "end 2 is not after start 3"),
        (str(tree / "none.mp4"), "does not exist"),
        (f"{table}, line 5", "no path in this row"),
        (str(tree / "x"), "is a folder, not a video file"),
        (f"{table}, line 7", "start and end must be seconds, such as 12.5"),
        (str(tree / "x\\c.webm"), "does not exist; write / instead of \\"),
    )


def test_bad_tables(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    for content, expected in [
        (b"file,label\na,b\n", r"table with the columns file, label and without path"),
        (b"path\n", "no rows"),
        (b"path,label,Label\na,b,c\n", 'column "label" twice'),
        (b"path\n\xff\xfe\n", "UTF-8"),
        (b'path,label\na.mp4,"open\nb.mp4,shut\nc.mp4,shut\n', "line 2: has a quote that does not"),
        (b'path,label\na.mp4,"open\nb.mp4,"shut"\nc.mp4,x\n', "line 2: has a quote that does not"),
        (b'path,label\na.mp4,x\n"b.mp4,shut\n', "line 3: has a quote that does not"),
        (b'path\n"b.mp4\n' + b"c.mp4\n" * 100, "line 2: has a quote that does not"),
    ]:
        table.write_bytes(content)
        with pytest.raises(MofoError, match=expected) as caught:
            read_catalog([table])
        assert "\n" not in str(caught.value)


def test_quotes_that_are_closed(tree: Path) -> None:
    table = tree / "list.csv"
    table.write_text(
        'path,label,note\n"b.mp4","say ""hi""",x\na.MKV,"open" door,x\n'
        'x/c.webm,last,"two\nlines, of it"\n'
    )
    catalog = read_catalog([table])
    assert catalog.problems == ()
    assert [video.label for video in catalog] == ['say "hi"', "open door", "last"]


@pytest.mark.parametrize(
    ("columns", "meant"),
    [
        ("start_time,end_time", "start, end, in seconds"),
        ("start_frame,end_frame", "start, end, in seconds"),
        ("begin,stop", "start, end, in seconds"),
        ("Class,lable", "label"),
        ("subset,subject", "split, group"),
        ("splitt,grup", "split, group"),
    ],
)
def test_columns_that_are_nearly_known_are_named(tree: Path, columns: str, meant: str) -> None:
    table = tree / "list.csv"
    table.write_text(f"path,{columns}\nb.mp4,1,2\n")
    catalog = read_catalog([table])
    assert len(catalog) == 1
    ((name, reason),) = catalog.problems
    assert name == str(table)
    assert all(column.lower() in reason for column in columns.split(","))
    assert meant.split(",")[0] in reason
    # Columns of other uses, and those beside the right ones, are nobody's mistake.
    table.write_text("path,start,end,start_frame,note,fps,quality\nb.mp4,1,2,3,x,25,y\n")
    assert read_catalog([table]).problems == ()


def test_names_in_another_unicode_form(tmp_path: Path) -> None:
    typed, on_disk = (normalize(form, "\u00dcbung.mp4") for form in ("NFC", "NFD"))
    (tmp_path / on_disk).write_bytes(b"v")
    table = tmp_path / "list.csv"
    table.write_text(f"path\n{typed}\n", encoding="utf-8")
    ((_, reason),) = read_catalog([table]).problems
    assert "another Unicode form" in reason
    # Lists that give names without their places are matched, whichever form they are in.
    (tmp_path / "k.csv").write_text(
        f"label,youtube_id,time_start,time_end\nx,{typed[:-4]},0,10\n", encoding="utf-8"
    )
    (video,) = read_catalog([tmp_path / "k.csv"])
    assert video.path.endswith(on_disk)


def test_endings_that_are_less_common(tmp_path: Path) -> None:
    names = [f"{n}{ending}" for n, ending in enumerate((".VOB", ".asf", ".m2v", ".mxf", ".dv"))]
    names += ["a.f4v", "b.qt", "c.divx", "d.rm", "e.ogm"]
    for name in [*names, "notes.txt", "cover.jpg", "sound.mp3"]:
        (tmp_path / name).write_bytes(b"v")
    assert keys(tmp_path) == sorted(names)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", '{"v1": {"subset": "train", "times": [1, 2]}}', "'v1'"),
        ("a.json", '[{"video": "a.mp4", "caption": "x"}]', "'video', 'caption'"),
        ("a.csv", "video,xmin,ymin,xmax,ymax,action\nx,1,2,3,4,5\n", "columns video, xmin, ymin"),
        ("a.csv", "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n", "'-5KQ66BBWC4,0902"),
        ("a.txt", "frames/182040\nframes/182041\n", "list of folders"),
        ("a.xml", "<annotation/>", "<annotation/>"),
        ("a.txt", "nothing to see\n", "nothing to see"),
    ],
)
def test_lists_of_other_kinds_are_refused(tmp_path: Path, name, text, expected) -> None:
    (tmp_path / "frames" / "182040").mkdir(parents=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(MofoError) as caught:
        read_catalog([tmp_path / name])
    assert str(tmp_path / name) in str(caught.value)
    assert expected in str(caught.value)


def test_special_files_and_dangling_links(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tree / "fifo.mp4")
    (tree / "gone.mp4").symlink_to(tree / "nowhere")
    (tree / "circle.mp4").symlink_to("circle.mp4")
    (tree / "device.mp4").symlink_to("/dev/null")
    monkeypatch.chdir(tree)  # names of sockets must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
    catalog = read_catalog([tree])
    assert len(catalog) == 4
    reasons = {Path(name).name: reason for name, reason in catalog.problems}
    assert reasons.pop("circle.mp4").startswith("cannot be read (")
    assert reasons == {
        "fifo.mp4": "is not a regular file",
        "socket.mp4": "is not a regular file",
        "device.mp4": "is not a regular file",
        "gone.mp4": "link to a file that does not exist",
    }
    for name in ("fifo.mp4", "gone.mp4"):
        catalog = read_catalog([tree / name])
        assert len(catalog) == 0
        assert catalog.problems == ((str(tree / name), reasons[name]),)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tree: Path) -> None:
    (tree / "b.mp4").chmod(0)
    (tree / "x").chmod(0)
    try:
        catalog = read_catalog([tree])
    finally:
        (tree / "x").chmod(0o700)
    assert [video.key for video in catalog] == ["a.MKV"]
    assert catalog.problems == (
        (str(tree / "b.mp4"), "no permission to read it"),
        (str(tree / "x"), "folder cannot be read (Permission denied)"),
    )


def test_nothing_there(tree: Path) -> None:
    (tree / "empty").mkdir()
    for source, expected in [
        (tree / "none.mp4", "does not exist; give a video"),
        (f"{tree}/*.mov", "no video there"),
        (f"{tree}/none/**/*.mov", "no video there"),
        (tree / "empty", "no video there"),
    ]:
        with pytest.raises(MofoError, match=expected) as caught:
            read_catalog([tree, source])
        assert str(source) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_no_sources() -> None:
    assert len(read_catalog([])) == 0


def test_table_with_heads_splits_and_groups(tree: Path) -> None:
    table = tree / "list.csv"
    table.write_text(
        "path,verb,noun,labels,split,group\n"
        "b.mp4,cut,onion,,Val,P01\n"
        "x/c.webm,,,red; round ;red,training,\n"
        "b.mp4,cut,onion,,sometimes,\n"
    )
    catalog = read_catalog([table])
    first, second = catalog
    assert first.labels == (("verb", "cut"), ("noun", "onion"))
    assert (first.split, first.group, first.label) == ("validation", "P01", None)
    assert second.labels == (("label", "red"), ("label", "round"))
    assert (second.split, second.group, second.label) == ("train", None, "red")
    assert [reason for _, reason in catalog.problems] == [
        "split 'sometimes' is unknown: train, validation or test"
    ]
