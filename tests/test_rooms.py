"""A module imports only from rooms to its left: also inside functions, also for types."""

from __future__ import annotations

import ast
import importlib
from collections import Counter
from pathlib import Path

import mofo
from mofo import types

SRC = Path(mofo.__file__).parent
ROOMS = (
    "types",
    "registry",
    "system",
    "video",
    "datasets",
    "motion",
    "curation",
    "clips",
    "masking",
    "models",
    "recipes",
    "training",
    "evaluation",
    "weights",
    "report",
    "synth",
    "commands",
    "cli",
)
# Still to be mended: (room, imported room) with the number of imports, names of files that are
# used twice. These lists shrink to nothing.
UPWARD_STILL: dict[tuple[str, str], int] = {}
SAME_NAMES_STILL: list[str] = []


def imports(path: Path) -> set[str]:
    """Full names of the package's modules that a file imports."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    # What registers a room's own kinds is imported when their registry is first read.
    loads = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "_own"]
    tree.body = [node for node in tree.body if node not in loads]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mofo":
            names.add(node.module or "")
            if node.module == "mofo":
                names.update(f"mofo.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.startswith("mofo"))
    return names


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def upward() -> Counter[tuple[str, str]]:
    """How many imports go from a room to one on its right."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in SRC.rglob("*.py"):
        own = path.relative_to(SRC).parts[0].removesuffix(".py")
        if own in ("__init__", "__main__"):
            continue
        for module in imports(path):
            room = room_of(module)
            if room and room != own and ROOMS.index(room) > ROOMS.index(own):
                counts[own, room] += 1
    return counts


def test_no_module_imports_from_a_room_to_its_right():
    more = {pair: n for pair, n in upward().items() if n > UPWARD_STILL.get(pair, 0)}
    assert more == {}


def test_results_leave_little_to_rooms_on_the_right():
    for name, module in types.LATER.items():
        assert callable(getattr(importlib.import_module(module), name))
    late = [
        path.relative_to(SRC).as_posix()
        for path in SRC.rglob("*.py")
        if "LATER" in path.read_text()
    ]
    assert late == ["types.py"]


def test_every_room_is_known():
    rooms = {path.relative_to(SRC).parts[0].removesuffix(".py") for path in SRC.rglob("*.py")}
    assert rooms - {"__init__", "__main__"} <= set(ROOMS)


def test_no_two_files_have_the_same_name():
    names = Counter(path.name for path in SRC.rglob("*.py") if path.name != "__init__.py")
    assert {name for name, count in names.items() if count > 1} <= set(SAME_NAMES_STILL)


def test_modules_within_a_room_import_each_other_in_no_circle():
    graph = {}
    for path in SRC.rglob("*.py"):
        parts = path.relative_to(SRC).with_suffix("").parts
        module = ".".join(["mofo", *(p for p in parts if p != "__init__")])
        graph[module] = imports(path) - {module}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module in done:
            return
        for other in graph.get(module, ()):
            visit(other, (*way, module))
        done.add(module)

    for module in graph:
        if module != "mofo":  # its names are imported when they are used
            visit(module, ())
