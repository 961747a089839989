"""The site builds without a warning, its links lead somewhere, and all of it is local."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import pytest

from helpers.pages import ROOT

pytestmark = pytest.mark.slow  # .ci/run builds the site, too
pytest.importorskip("mkdocs", reason="pip install 'mofo[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def build(config, folder):
    """As ``make docs`` does it. With --quiet, --strict would see no warning at all."""
    [line] = re.findall(r"mkdocs (build .*)", (ROOT / "Makefile").read_text())
    words = ["-m", "mkdocs", *line.split(), "--config-file", str(config), "--site-dir", str(folder)]
    return subprocess.run(
        [sys.executable, *words], cwd=config.parent, capture_output=True, text=True, timeout=300,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [("[other](other.md)", "other.md"), ("[there](index.md#nowhere)", "#nowhere"),
     ("![picture](images/none.png)", "none.png")],
)  # fmt: skip
def test_a_link_that_leads_nowhere_ends_the_build(tmp_path, text, told):
    """The same settings, on a page by itself."""
    settings = (ROOT / "mkdocs.yml").read_text()
    [checks] = re.findall(r"^validation:\n(?:  .*\n)+", settings, re.MULTILINE)
    (tmp_path / "mkdocs.yml").write_text(f"site_name: x\n{checks}")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"# First\n\n{text}\n")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert told in done.stderr


def test_every_page_and_name_is_there(site):
    import mofo
    from mofo.commands.verb import VERBS

    for page in ROOT.glob("docs/*.md"):
        assert (site / page.with_suffix(".html").name).is_file()
    commands = (site / "commands.html").read_text()
    assert all(f'id="mofo-{verb.replace(" ", "-")}"' in commands for verb in VERBS)
    python = (site / "python.html").read_text()
    for name in set(mofo.__all__) - {"__version__"}:
        text = python.partition(f'id="mofo.{name}"')[2].partition('id="mofo.')[0]
        words = re.sub("<[^>]+>", " ", text).split()
        assert len(words) > 8, f"nothing is said about mofo.{name}"
        if inspect.isfunction(getattr(mofo, name)):
            assert "Raises:" in words  # its docstring, whole
            assert re.search(rf"mofo\s*\.\s*{name}\s*\(", " ".join(words)), name  # how it is called


def test_nothing_is_fetched_from_elsewhere(site):
    loads = re.compile(
        r"<(?:script|img|link rel=\"?(?:stylesheet|preconnect|icon)\"?|iframe|source)\b[^>]*"
        r"(?:src|href)=\"?(?:https?:)?//[^\"> ]+"
    )
    for page in site.glob("*.html"):
        assert not loads.findall(page.read_text()), page.name
