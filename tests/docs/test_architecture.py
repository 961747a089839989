"""The page on architecture tells the truth: every function it names is there."""

import ast
import re

from helpers.pages import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
SRC = ROOT / "src" / "mofo"


def test_the_way_of_a_clip_is_short_and_exists():
    row = re.compile(r"^\| \d+ \| `([\w/]+\.py)` \| `(\w+)` \|", re.MULTILINE)
    rows = row.findall(PAGE.partition("## A clip's way")[2])
    assert 10 <= len(rows) <= 25
    assert len({file for file, _ in rows}) <= 15
    for file, name in row.findall(PAGE):
        tree = ast.parse((SRC / file).read_text())
        names = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert name in names, (file, name)


def test_registries_are_where_the_page_says():
    rows = re.findall(r"^\| [^|]+ \| `([A-Z_]+)` \| `([\w/]+(?:\.py)?)` \|", PAGE, re.MULTILINE)
    assert len(rows) >= 9
    for name, place in rows:
        paths = [SRC / place] if place.endswith(".py") else (SRC / place).glob("*.py")
        assert any(
            re.search(rf"^{name}\b.*= Registry", path.read_text(), re.MULTILINE) for path in paths
        ), name


def test_rooms_are_all_named():
    for folder in SRC.iterdir():
        if folder.is_dir() and folder.name != "__pycache__" and any(folder.glob("*.py")):
            assert f"`{folder.name}`" in PAGE, folder.name
