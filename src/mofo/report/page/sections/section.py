"""One section of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """What a template makes a section of.

    Attributes:
        name: of the template, and of the anchor.
        title: heading.
        lead: one plain sentence: what the section shows and how to read it.
        content: for the template.
    """

    name: str
    title: str
    lead: str
    content: Mapping[str, Any]
