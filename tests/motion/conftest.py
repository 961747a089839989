import importlib.util
import os
import sys
from pathlib import Path

import pytest

STUB = Path(__file__).parent / "stub"


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Use the stand-in detection, here and in worker processes; names what was really detected."""
    monkeypatch.setenv("STUB_DETECTION", "1")
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", str(STUB), prepend=os.pathsep)
    before = sys.modules.get("mofo.motion.analyse")
    spec = importlib.util.spec_from_file_location("stub", STUB / "sitecustomize.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

    def read() -> list[str]:
        """What was detected since the last look, in order."""
        lines = (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []
        (tmp_path / "log").unlink(missing_ok=True)
        return [line.rpartition(" ")[0] for line in lines]

    yield read
    sys.modules.pop("mofo.motion.analyse")
    if before is not None:
        sys.modules["mofo.motion.analyse"] = before
