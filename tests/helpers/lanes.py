"""Of cases that take long, those that every change has to pass; the others are marked slow."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(kept: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """Cases for ``parametrize``; those that are not in ``kept`` are marked ``slow``."""
    return [case if case in kept else pytest.param(case, marks=pytest.mark.slow) for case in cases]
