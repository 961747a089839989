"""Registries: what comes in kinds is registered under a name, and is listed nowhere else.

    FUSIONS: Registry[type[Fusion]] = Registry("fusion")

    @FUSIONS.register("mean")
    class Mean(Fusion): ...

    FUSIONS["mean"]   # the class; an unknown name is a SettingsError with the nearest known one

Kinds can be registered from outside this package in the same way, before they are used.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from mofo.types import SettingsError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """The kinds of one thing, by name, in the order in which they were registered.

    Args:
        noun: what the kinds are kinds of, singular, as errors name it ("fusion").
        load: imports the modules that register this package's own kinds. It is called once, when
            the registry is first read, so that defining a registry imports nothing.
    """

    def __init__(self, noun: str, load: Callable[[], object] | None = None) -> None:
        self.noun = noun
        self._load = load
        self._kinds: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that stores what it decorates under ``name``.

        Raises:
            ValueError: the name is already taken by something else.
        """

        def decorate(kind: T) -> T:
            taken = self._kinds.get(name)
            if taken is not None and _home(taken) != _home(kind):
                raise ValueError(f"{self.noun} {name!r} is registered twice")
            self._kinds[name] = kind
            return kind

        return decorate

    def __getitem__(self, name: str) -> T:
        """The kind of that name.

        Raises:
            SettingsError: there is none; names the nearest.
        """
        self._read()
        if name not in self._kinds:
            raise SettingsError(unknown(self.noun, name, self._kinds))
        return self._kinds[name]

    def __contains__(self, name: object) -> bool:
        self._read()
        return name in self._kinds

    def __iter__(self) -> Iterator[str]:
        self._read()
        return iter(self._kinds)

    def __len__(self) -> int:
        self._read()
        return len(self._kinds)

    def check(self, name: str) -> str:
        """Returns ``name`` if it is registered.

        Raises:
            SettingsError: it is not.
        """
        self[name]
        return name

    def _read(self) -> None:
        load, self._load = self._load, None
        if load is not None:
            load()


def choice(noun: str, name: str, names: Iterable[str]) -> str:
    """Returns ``name`` if it is one of ``names``.

    Raises:
        SettingsError: it is not; names the nearest.
    """
    names = tuple(names)
    if name not in names:
        raise SettingsError(unknown(noun, name, names))
    return name


def unknown(noun: str, name: object, names: Iterable[str]) -> str:
    """The text of an error about an unknown name: the nearest known one, or all of them."""
    names = tuple(names)
    hint = did_you_mean(str(name), names)
    return f"{noun} {name!r} is unknown: {hint or 'choose from ' + ', '.join(names)}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``did you mean 'X'?`` with the nearest of ``names``; empty if none is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _home(kind: object) -> tuple[object, object]:
    """Where a kind is defined: a module that is imported again may register its kinds again."""
    return getattr(kind, "__module__", None), getattr(kind, "__qualname__", id(kind))
