"""Kinds of the package itself: tests of kinds from outside register theirs in the same process."""

from collections.abc import Mapping


def built_in(registry: Mapping[str, type]) -> list[str]:
    """Names of the kinds that the package itself registers."""
    return [name for name, kind in registry.items() if kind.__module__.startswith("mofo.")]
