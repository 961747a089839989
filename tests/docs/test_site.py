"""The site builds without a warning, its links lead somewhere, and all of it is local."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from pages import ROOT

pytest.importorskip("mkdocs", reason="pip install 'mofo[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_page_and_name_is_there(site):
    import mofo
    from mofo.cli import VERBS

    for page in ROOT.glob("docs/*.md"):
        assert (site / page.with_suffix(".html").name).is_file()
    commands = (site / "commands.html").read_text()
    assert all(f'id="mofo-{verb}"' in commands for verb in VERBS)
    python = (site / "python.html").read_text()
    for name in set(mofo.__all__) - {"__version__"}:
        assert f'id="mofo.{name}"' in python


def test_nothing_is_fetched_from_elsewhere(site):
    loads = re.compile(
        r"<(?:script|img|link rel=\"?(?:stylesheet|preconnect|icon)\"?|iframe|source)\b[^>]*"
        r"(?:src|href)=\"?(?:https?:)?//[^\"> ]+"
    )
    for page in site.glob("*.html"):
        assert not loads.findall(page.read_text()), page.name
