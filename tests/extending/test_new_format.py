"""A data-set format of one's own: one class, in Python and on the command line."""

from __future__ import annotations

import json
import re

from helpers import trees
from mofo import cli, read_catalog
from mofo.datasets.formats.documents import read_lines
from mofo.datasets.formats.format import FORMATS, Format


@FORMATS.register("sentences")
class Sentences(Format):
    """Lines such as "clip 7 shows a jump", beside the folder of the clips."""

    about = "sentences about clips"

    def recognises(self, source):
        return not source.is_folder and bool(re.match(r"clip \S+ shows ", source.first_line))

    def read(self, source):
        listing = source.lookup.listing()
        for number, line in read_lines(source.path):
            _, name, _, label = line.split(" ", 3)
            where = f"{source.path}, line {number}"
            source.lookup.add(listing, [name], where, label=label, split="train", name=name)
        return listing


def make_data(folder):
    make = trees.maker(folder / "made")
    for number in range(4):
        make(folder / "data" / "clips" / f"{number}.mp4")
    lines = [f"clip {number} shows a {('jump', 'run')[number % 2]}" for number in range(5)]
    return trees.write(folder / "data" / "about.txt", "\n".join(lines))


def test_read_check_and_convert_it(tmp_path, capsys):
    source = make_data(tmp_path)
    catalog = read_catalog([source])
    assert catalog == read_catalog([f"sentences:{source}"])
    assert [video.label for video in catalog] == ["a jump", "a run", "a jump", "a run"]
    ((where, reason),) = catalog.problems
    assert where == f"{source}, line 5"
    assert "4" in reason
    plugin = ["--plugin", __file__, "--quiet"]
    target = tmp_path / "all.parquet"
    assert cli.main(["data", "convert", str(source), "--to", str(target), *plugin]) == 1
    assert read_catalog([target]).videos == catalog.videos
    out = tmp_path / "check"
    words = ["data", "check", f"sentences:{source}", "--out", str(out), "--workers", "0"]
    assert cli.main([*words, *plugin]) == 1
    assert json.loads((out / "check.json").read_text())["rows"] == 4
    capsys.readouterr()
    assert cli.main(["data", "convert", "--help"]) == 0
    assert "sentences" in capsys.readouterr().out
