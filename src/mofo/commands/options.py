"""Options of a verb, read from the signatures, settings and docstrings of what it calls.

The source is read, not imported: ``mofo evaluate --help`` would otherwise wait for torch. An option
that is not given is not passed on, so that each default is written in one place.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import mofo
from mofo.commands.remote_output import RemotePath

_OUTPUTS = ("out", "to")  # required, but never positional
_UNKNOWN = object()


@dataclass(frozen=True)
class Option:
    """One parameter of a function, or one field of a settings class.

    Attributes:
        name: as in Python.
        annotation: as in the source, without ``| None``.
        keyword: it is keyword-only in Python.
        required: it has no default.
        default: None where there is none, or where the source does not say it literally.
        help: one sentence.
    """

    name: str
    annotation: str
    keyword: bool
    required: bool
    default: Any
    help: str

    @property
    def positional(self) -> bool:
        """Whether it is given without ``--name``."""
        return self.required and not self.keyword and self.name not in _OUTPUTS

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Declares the option; one that is not given does not appear among the values."""
        if self.name == "progress":
            parser.add_argument(
                "--quiet", dest="progress", action="store_false", help="no progress bar"
            )
            return
        about = self.help.replace("%", "%%")
        if not self.required and self.default not in (None, "", (), False, _UNKNOWN):
            about += f" ({_shown(self.default)})"
        how = {"help": about} | _converter(self.annotation)
        if self.positional:
            parser.add_argument(self.name, **(how | {"metavar": self.name.upper().rstrip("S")}))
            return
        if how.get("nargs"):
            how["action"] = "extend"
        flag = "--" + self.name.rstrip("_").replace("_", "-")
        parser.add_argument(
            flag, dest=self.name, required=self.required, default=argparse.SUPPRESS, **how
        )


def read_options(where: str) -> list[Option]:
    """Options of ``module:function`` or ``module:SettingsClass``."""
    module, _, name = where.partition(":")
    node = _definitions(module)[name]
    about = described(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef):
        options = list(_fields(node, module))
        for base in node.bases:  # fields of a base class in the same module
            if isinstance(base, ast.Name) and base.id in _definitions(module):
                options = read_options(f"{module}:{base.id}") + options
    else:
        options = list(_parameters(node, module))
    return [replace(option, help=about.get(option.name, option.help)) for option in options]


def merged(*groups: Iterable[Option]) -> list[Option]:
    """All options once: the later one, with the earlier one's text if it has none itself."""
    options: dict[str, Option] = {}
    for option in (option for group in groups for option in group):
        earlier = options.get(option.name, option)
        options[option.name] = replace(option, help=option.help or earlier.help)
    return list(options.values())


def described(docstring: str) -> dict[str, str]:
    """First sentences of the entries below ``Args:`` or ``Attributes:``."""
    texts: dict[str, str] = {}
    names: list[str] = []
    section = re.split(r"(?:^|\n)(?:Args|Attributes):\n", docstring)[1:]
    for line in section[0].splitlines() if section else ():
        start = re.fullmatch(r"    (\*{0,2}\w[\w, ]*): (.*)", line)
        if start:
            names = [name.strip(" *") for name in start[1].split(",")]
            texts |= dict.fromkeys(names, start[2])
        elif not line.startswith("     "):
            break
        else:
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
    return {name: _sentence(text) for name, text in texts.items()}


def with_kinds(text: str) -> str:
    """``{motion.FLOWS}`` in a text becomes the names of the kinds that are registered there."""
    return re.sub(r"\{(\w+)\.([A-Z_]+)\}", lambda match: ", ".join(_kinds(*match.groups())), text)


def _kinds(room: str, registry: str) -> list[str]:
    """Names as in the source; of a registry that a plugin has imported, all that it holds."""
    root = Path(mofo.__file__).parent
    names: list[str] = []
    for file in sorted((root / room).rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        module = sys.modules.get("mofo." + ".".join(file.relative_to(root).with_suffix("").parts))
        if f"\n{registry}: Registry" in source and module is not None:
            return list(getattr(module, registry))
        if f"@{registry}.register(" in source:
            names += _registered(ast.parse(source), registry)
    return names


def _registered(tree: ast.Module, registry: str) -> list[str]:
    return [
        ast.literal_eval(decorator.args[0])
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == f"{registry}.register"
    ]


def resolve(where: str) -> Any:
    """What ``module:name`` means; this imports the module."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def _sentence(text: str) -> str:
    """Up to the first full stop, or to what only a reader of the Python code wants to know."""
    ends = r"(?<=[\w\")])\. |[;,.]? None\b|; none\b|[,:]? see ``"
    text = re.split(ends, text.replace("\n", " "))[0]
    return text.replace("``", "").rstrip(".:; ")


@cache
def _tree(module: str) -> ast.Module:
    path = Path(mofo.__file__).parent.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _definitions(module: str) -> dict[str, Any]:
    return {
        node.name: node
        for node in _tree(module).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _parameters(node: ast.FunctionDef, module: str) -> Iterator[Option]:
    positional = [*node.args.posonlyargs, *node.args.args]
    absent = [None] * (len(positional) - len(node.args.defaults))
    defaults = [*absent, *node.args.defaults, *node.args.kw_defaults]
    for argument, default in zip([*positional, *node.args.kwonlyargs], defaults, strict=True):
        if argument.arg not in ("self", "cls"):
            yield _option(argument, default, argument in node.args.kwonlyargs, module)


def _fields(node: ast.ClassDef, module: str) -> Iterator[Option]:
    for field, below in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if ast.unparse(field.annotation).startswith("ClassVar"):
            continue
        option = _option(ast.arg(field.target.id, field.annotation), field.value, True, module)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            option = replace(option, help=_sentence(inspect.cleandoc(str(below.value.value))))
        yield option


def _option(argument: ast.arg, default: ast.expr | None, keyword: bool, module: str) -> Option:
    written = ast.unparse(argument.annotation) if argument.annotation is not None else "str"
    kind = " | ".join(part for part in written.split(" | ") if part != "None")
    required = default is None
    return Option(argument.arg, kind, keyword, required, _literal(default, module), "")


def _literal(node: ast.expr | None, module: str) -> Any:
    """The value of a default: a literal, or a name that is bound to one."""
    if node is None:
        return None
    if isinstance(node, ast.Name):
        for line in _tree(module).body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == node.id:
                return _literal(line.value, module)
            if (
                isinstance(line, ast.ImportFrom)
                and str(line.module).startswith("mofo.")
                and node.id in [alias.name for alias in line.names]
            ):
                return _literal(node, str(line.module))
    if isinstance(node, ast.Tuple):
        parts = tuple(_literal(part, module) for part in node.elts)
        return _UNKNOWN if _UNKNOWN in parts else parts
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _UNKNOWN


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ("x" if all(isinstance(part, int) for part in value) else ", ").join(map(str, value))
    return str(value)


def _converter(annotation: str) -> dict[str, Any]:
    """How argparse reads a value of this type."""
    if annotation.startswith("Literal["):
        return {"choices": ast.literal_eval(f"({annotation[len('Literal[') : -1]},)")}
    if annotation in ("tuple[int, int]", "Shard"):
        return {"type": _pair, "metavar": "NxN"}
    several = re.search(r"\b(?:Sequence|Iterable|list|tuple)\[(.*)\]", annotation)
    inner = several[1] if several else annotation
    if inner == "bool":
        return {"action": "store_true"}
    how: dict[str, Any] = {"nargs": "+"} if several else {}
    for kind, metavar in ((int, "N"), (float, "X")):
        if re.search(rf"\b{kind.__name__}\b", inner):
            return how | {"type": kind, "metavar": metavar}
    if inner in ("Path", "Output"):
        how["type"] = _local if inner == "Path" else _output
    return how | {"metavar": "PATH" if "Path" in inner or inner == "Output" else "NAME"}


def _output(text: str) -> Path | RemotePath:
    return RemotePath(text) if "://" in text else Path(text)


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text} is a URL, and this has to be here: copy it before, or afterwards"
        )
    return Path(text)


def _pair(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x/](\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers such as 2x3")
    return int(match[1]), int(match[2])
