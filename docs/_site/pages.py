"""Pages of the site that are made from the code while it is built: commands, Python, notebook."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages."""
    for name, text in {
        "index.md": first_page(),
        "commands.md": commands_page(),
        "python.md": python_page(),
        "first-steps.md": notebook_page(ROOT / "docs/notebooks/first-steps.ipynb"),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text().replace("](docs/", "]("),
    }.items():
        files.append(File.generated(config, name, content=text))
    return files


def first_page() -> str:
    """The README, with links as they are within the site."""
    text = (ROOT / "README.md").read_text().replace("](docs/", "](")
    return re.sub(r"\[([^]]+)\]\((?!https?:)(?!images/)(?![\w-]+\.md)[^)]+\)", r"`\1`", text)


def commands_page() -> str:
    """The help of every verb, those of two words below their group."""
    from mofo.commands.verb import GROUPS, VERBS

    lines = [
        "# Commands",
        "What `mofo VERB --help` prints, made while this page was built. Exit codes: 0 done, "
        "1 failed, 2 wrong usage, 75 stopped by SIGTERM or SIGUSR1, 130 stopped by Ctrl-C.",
        _block(_help()),
    ]
    seen = set()
    for name in VERBS:
        first = name.partition(" ")[0]
        if first in GROUPS and first not in seen:
            seen.add(first)
            lines += [f"## mofo {first}", _block(_help(first))]
        heading = "###" if first in GROUPS else "##"
        lines += [f"{heading} mofo {name}", _block(_help(*name.split()))]
    lines += ["## Settings of mofo pretrain", _block(_printed("pretrain", "--keys"))]
    lines += ["## Settings of mofo finetune", _block(_printed("finetune", "--keys"))]
    return "\n\n".join(lines) + "\n"


def python_page() -> str:
    """A heading and the docstring of each public name."""
    import mofo

    lines = [
        "# Python",
        "All that `import mofo` gives. Names are imported when they are first used; everything "
        "that a command does can be called here, too.",
    ]
    homes = mofo._HOMES
    for name in sorted(mofo.__all__, key=str.lower):
        if name in homes:
            lines += [f"## {name} {{ #mofo.{name} }}"]
            thing = getattr(importlib.import_module(homes[name]), name)
            if inspect.isfunction(thing):
                lines += [_block(_call(f"mofo.{name}", thing), "python")]
            lines += [f"::: {homes[name]}.{name}"]
            lines += ["    options:\n      show_root_heading: false\n      heading_level: 3"]
    return "\n\n".join(lines).replace("\n\n    options", "\n    options") + "\n"


def _call(name: str, function: Any) -> str:
    """How a function is called: a line for each argument, as in its definition."""
    lines, keywords = [f"{name}("], False
    signature = inspect.signature(function)
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not keywords:
            keywords = True
            lines.append("    *,")
        default = "" if one.default is one.empty else f" = {one.default!r}"
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        lines.append(f"    {stars}{one.name}: {one.annotation}{default},")
    return "\n".join([*lines, f") -> {signature.return_annotation}"])


def notebook_page(path: Path) -> str:
    """The cells of a notebook one after the other."""
    lines = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        lines.append(_block(source, "python") if cell["cell_type"] == "code" else source)
    told = "*This page is the notebook `docs/notebooks/first-steps.ipynb`; a test runs it.*"
    return "\n\n".join([lines[0], told, *lines[1:]]) + "\n"


def _help(*words: str) -> str:
    return _printed(*words, "--help")


def _printed(*words: str) -> str:
    from mofo.cli import main

    told = io.StringIO()
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "80"
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            main(list(words))
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return told.getvalue().rstrip()


def _block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text}\n```"
