"""Kinds from outside of the package reach every process of a run."""

import os
import subprocess
import sys

import pytest

from mofo import cli
from mofo.registry import PLUGINS_VARIABLE, Registry, load_plugins, plugins, use_plugins
from mofo.types import SettingsError

COLOURS: Registry[type] = Registry("colour")

PLUGIN = """
from test_plugins import COLOURS

@COLOURS.register("{name}")
class Kind: ...
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])

    def plugin(name: str, text: str = "") -> str:
        file = tmp_path / f"{name}.py"
        file.write_text(text or PLUGIN.format(name=name))
        return str(file)

    return plugin


def test_a_file_is_a_plugin_inside_the_block(write, monkeypatch):
    file = write("ochre")
    monkeypatch.delenv(PLUGINS_VARIABLE, raising=False)
    with use_plugins([file]):
        assert plugins() == (file,)
        assert "ochre" in COLOURS
    assert PLUGINS_VARIABLE not in os.environ


def test_the_environment_names_plugins(write, monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, os.pathsep.join([write("umber"), write("sienna")]))
    assert {"umber", "sienna"} <= set(COLOURS)


def test_a_worker_gets_the_names_of_its_parent(write):
    load_plugins([write("sepia")])
    assert "sepia" in COLOURS


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("broken", "1 / 0", "ZeroDivisionError"),
        ("json", "", "another module"),
    ],
)
def test_a_bad_plugin_is_one_line(write, capsys, name, text, part):
    file = write(name, text)
    with pytest.raises(SettingsError, match=part):
        load_plugins([file])
    assert cli.main(["detect", "--plugin", file, "--help"]) == 2
    told = capsys.readouterr().err
    assert file in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("words", [["--plugin", "no_such_module"], ["--plugin=no/such.py"]])
def test_a_missing_plugin_is_wrong_usage(capsys, words):
    assert cli.main(["detect", *words, "--help"]) == 2
    assert "cannot be imported" in capsys.readouterr().err
    assert cli.main(["detect", "--plugin"]) == 2


def test_an_installed_package_names_its_plugins(tmp_path):
    package = tmp_path / "mine-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[mofo.plugins]\nmine = mine\n")
    (tmp_path / "mine.py").write_text("print('mine is here')\n")
    words = [sys.executable, "-c", "from mofo.registry import load_plugins; load_plugins()"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "mine is here\n"
