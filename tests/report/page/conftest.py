from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """What a demo leaves behind, small, with names that would break a careless page."""
    from helpers.made import make_tree

    return make_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def page(tree, tmp_path_factory):
    """The page of the whole tree."""
    from mofo.report.page.build import report

    return report(tree, tmp_path_factory.mktemp("page") / "report.html", clips=3).path
