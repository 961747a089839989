"""The report page: one HTML file that holds everything it shows."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from tqdm import tqdm

from mofo.report.page.gathered import Gathered, gather
from mofo.report.page.media import ClipMaker
from mofo.report.page.sections.accuracy import accuracy, shade
from mofo.report.page.sections.again import again
from mofo.report.page.sections.curves import curves
from mofo.report.page.sections.guesses import guesses
from mofo.report.page.sections.motion import areas
from mofo.report.page.sections.overview import headlines, overview
from mofo.report.page.sections.predictions import predictions
from mofo.report.page.sections.section import Section
from mofo.report.page.sections.unreadable import unreadable
from mofo.report.page.words import counted, percent
from mofo.report.sheet import make_folder
from mofo.system.files import replaced
from mofo.types import MofoError, SettingsError


class ReportPage(NamedTuple):
    """What ``report`` has written.

    Attributes:
        path: the page.
        size: its bytes.
        sections: their names, in order.
        problems: one line each: what could not be used.
    """

    path: Path
    size: int
    sections: tuple[str, ...]
    problems: tuple[str, ...]


def report(
    folders: str | Path | Sequence[str | Path],
    out: str | Path = "report.html",
    *,
    title: str = "",
    clips: int = 6,
    left_out: Sequence[tuple[str, str]] = (),
    progress: bool = False,
) -> ReportPage:
    """Writes one page about runs, tests and motion areas; what ``mofo report`` does.

    Args:
        folders: made by other verbs, or folders that have such folders in them.
        out: the page; its folder is made.
        title: heading; none: made of what there is.
        clips: how many clips each section shows at most, 0 to 24; 0: none at all.
        left_out: ``(path, reason)`` of files that were not used, besides those that the folders
            tell of themselves.
        progress: show a bar on stderr.

    Raises:
        MofoError: a folder is not there, nothing known is in any, or the page cannot be written.
        SettingsError: a number out of range.
    """
    if not 0 <= clips <= 24:
        raise SettingsError(f"clips is {clips}: expected 0 to 24")
    several = [folders] if isinstance(folders, str | Path) else list(folders)
    if not several:
        raise SettingsError("report: name one folder or more")
    found = gather(several)
    found.left_out = tuple(left_out)
    try:
        maker = ClipMaker()
        steps: tuple[Callable[[], Section | None], ...] = (
            lambda: overview(found),
            lambda: areas(found, maker, clips) if clips else None,
            lambda: guesses(found, maker, clips) if clips else None,
            lambda: curves(found),
            lambda: accuracy(found),
            lambda: predictions(found, maker, clips) if clips else None,
            lambda: unreadable(found),
            lambda: again(found, _command(several, out)),
        )
        bar = tqdm(steps, unit="section", file=sys.stderr, disable=not progress, leave=False)
        sections = [section for section in (step() for step in bar) if section is not None]
        text = _render(found, sections, title or _title(found), maker)
    finally:
        found.close()
    return _write(Path(out), text, sections, found)


def _write(path: Path, text: str, sections: Sequence[Section], found: Gathered) -> ReportPage:
    make_folder(path)
    # Names of files may hold bytes that are no letters.
    data = text.encode("utf-8", "backslashreplace")
    try:
        with replaced(path) as part:
            part.write_bytes(data)
    except IsADirectoryError:
        raise MofoError(
            f"{path}: is a folder: name a file such as {path / 'report.html'}"
        ) from None
    names = tuple(section.name for section in sections)
    return ReportPage(path, len(data), names, tuple(found.problems))


def _render(found: Gathered, sections: Sequence[Section], title: str, maker: ClipMaker) -> str:
    environment = Environment(
        loader=PackageLoader("mofo.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "counted": counted}
    source: Any = environment.loader
    style, script = (
        Markup(source.get_source(environment, name)[0]) for name in ("style.css", "script.js")
    )
    return environment.get_template("page.html").render(
        title=title,
        headlines=headlines(found),
        sections=sections,
        style=style,
        script=script,
        shade=shade,
        version=version("mofo"),
        left_out=maker.left_out,
    )


def _title(found: Gathered) -> str:
    names = list(dict.fromkeys(folder.resolve().name or str(folder) for folder in found.folders))
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")


def _command(folders: Sequence[str | Path], out: str | Path) -> str:
    return shlex.join(["mofo", "report", *(str(folder) for folder in folders), "--out", str(out)])
