"""The report page: one HTML file that holds everything it shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mofo.report.figures.layout import make_folder, writing
from mofo.report.page.again_section import again_section
from mofo.report.page.conclusion import Sentence, conclusion, tiles
from mofo.report.page.folders import Contents, read_folders
from mofo.report.page.media import ClipMaker
from mofo.report.page.motion_section import motion_section
from mofo.report.page.results_section import results_section, shade
from mofo.report.page.training_section import guess_sentences, training_section
from mofo.report.wording import Paths, counted, listed, percent
from mofo.system.files import replaced
from mofo.system.progress import Bar
from mofo.types import SettingsError

MAX_CLIPS = 24
_TITLES = {
    "motion": "What moves",
    "results": "How often the model is right",
    "training": "How training went",
    "again": "How to do it again",
}


class ReportPage(NamedTuple):
    """What ``report`` has written.

    Attributes:
        size: its bytes.
        sections: their names, in order.
        problems: one line each: what could not be used.
    """

    path: Path
    size: int
    sections: tuple[str, ...]
    conclusion: tuple[str, ...]
    problems: tuple[str, ...]


def report(
    folders: str | Path | Sequence[str | Path],
    out: str | Path = "report.html",
    *,
    title: str = "",
    note: str = "",
    clips: int = 6,
    progress: bool = False,
) -> ReportPage:
    """Writes one page about runs, tests and motion areas; what ``mofo report`` does.

    Args:
        folders: made by other verbs, or folders that have such folders in them.
        out: the page; its folder is made.
        title: heading; empty: names of the folders.
        note: a few words of your own, shown below the title.
        clips: how many clips each section shows at most, 0 to 24; 0: none at all.
        progress: show a bar on stderr.

    Raises:
        MofoError: a folder is not there, nothing known is in any, or the page cannot be written.
        SettingsError: a number out of range.
    """
    if not 0 <= clips <= MAX_CLIPS:
        raise SettingsError(f"clips is {clips}: expected 0 to {MAX_CLIPS}")
    several = [folders] if isinstance(folders, str | Path) else list(folders)
    if not several:
        raise SettingsError("report: name one folder or more")
    contents = read_folders(several)
    maker = ClipMaker()
    command = shlex.join(["mofo", "report", *map(str, several), "--out", str(out)])
    steps: dict[str, Callable[[], dict[str, Any] | None]] = {
        "motion": lambda: motion_section(contents, maker, clips),
        "results": lambda: results_section(contents, maker, clips),
        "training": lambda: training_section(contents, maker, clips),
        "again": lambda: again_section(contents, command),
    }
    try:
        bar = Bar(iterable=steps.items(), unit="section", show=progress, leave=False)
        made = {name: content for name, step in bar if (content := step()) is not None}
        guesses = guess_sentences(made.get("training", {}).get("seen", ()))
        sentences = conclusion(contents, list(guesses))
        text = _render(contents, made, title or _title(contents), note, sentences, maker)
    finally:
        contents.close()
    path = Path(out)
    said = tuple(sentence.text for sentence in sentences)
    size = write_page(path, text)
    return ReportPage(path, size, tuple(made), said, tuple(contents.problems))


def _render(
    contents: Contents,
    made: dict[str, dict[str, Any]],
    title: str,
    note: str,
    sentences: Sequence[Sentence],
    maker: ClipMaker,
) -> str:
    return page_text(
        Paths(contents.folders),
        title=title,
        note=note,
        sentences=sentences,
        tiles=tiles(contents),
        sections=[(name, _TITLES[name], content) for name, content in made.items()],
        shade=shade,
        left_out=maker.left_out,
    )


def page_text(paths: Paths, **content: Any) -> str:
    """A page as HTML. ``content``: what ``page.html`` and the templates of its sections take."""

    def shortened(value: Any) -> Any:
        is_text = type(value) is str and not value.startswith(("data:image/", "data:video/"))
        return paths(value) if is_text and "/" in value else value

    environment = Environment(
        loader=PackageLoader("mofo.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shortened,
    )
    environment.filters |= {"percent": percent, "counted": counted, "listed": listed}
    source: Any = environment.loader
    style, script = (
        Markup(source.get_source(environment, name)[0]) for name in ("style.css", "script.js")
    )
    return environment.get_template("page.html").render(
        date=f"{datetime.now(UTC):%-d %B %Y}",
        style=style,
        script=script,
        version=version("mofo"),
        **content,
    )


def write_page(path: Path, text: str) -> int:
    """Writes a page; its folder is made. Returns its bytes."""
    # Names of files may hold bytes that are no letters.
    data = text.encode("utf-8", "backslashreplace")
    make_folder(path)
    with writing(path), replaced(path) as part:
        part.write_bytes(data)
    return len(data)


def _title(contents: Contents) -> str:
    names = [folder.resolve().name or str(folder) for folder in contents.folders]
    names = list(dict.fromkeys(names))
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
