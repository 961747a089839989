"""Registries: what comes in kinds is registered under a name, and is listed nowhere else.

    FUSIONS: Registry[type[Fusion]] = Registry("fusion")

    @FUSIONS.register("mean")
    class Mean(Fusion): ...

    FUSIONS["mean"]   # the class; an unknown name is a SettingsError with the nearest known one

Kinds are registered from outside of this package in the same way, in a *plugin*: a module or a
``.py`` file that every process of a run imports before it looks a kind up, worker processes too.

    mofo detect videos/ --out areas --flow mine --plugin my_flow.py     (any verb)
    MOFO_PLUGINS=my_flow.py:my_package.fusions mofo ...                 (separated as in PATH)

Installed packages name their modules in the entry-point group ``mofo.plugins``. In Python, import
the module; ``use_plugins`` makes worker processes do so, too.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from mofo.types import SettingsError

T = TypeVar("T")

PLUGINS_VARIABLE = "MOFO_PLUGINS"
PLUGINS_GROUP = "mofo.plugins"


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
        load_plugins()


def plugins() -> tuple[str, ...]:
    """The plugins named so far, in order: modules, or absolute paths of ``.py`` files."""
    names = os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep)
    return tuple(dict.fromkeys(_absolute(name.strip()) for name in names if name.strip()))


@contextlib.contextmanager
def use_plugins(names: Iterable[str]) -> Iterator[None]:
    """Imports plugins, and names them to all processes that are started inside the block.

    Raises:
        SettingsError: one cannot be imported.
    """
    before = os.environ.get(PLUGINS_VARIABLE)
    several = dict.fromkeys([*plugins(), *map(_absolute, names)])
    if several:
        os.environ[PLUGINS_VARIABLE] = os.pathsep.join(several)
    try:
        if several:
            load_plugins()
        yield
    finally:
        if before is None:
            os.environ.pop(PLUGINS_VARIABLE, None)
        else:
            os.environ[PLUGINS_VARIABLE] = before


def load_plugins(names: Iterable[str] = ()) -> None:
    """Imports what the environment and installed packages name, each once.

    Args:
        names: further ones. A worker process gets those of its parent: what it inherited may be
            the environment of an earlier time.

    Raises:
        SettingsError: one cannot be imported.
    """
    if PLUGINS_GROUP not in _imported:
        from importlib.metadata import entry_points

        _imported.add(PLUGINS_GROUP)
        for entry in entry_points(group=PLUGINS_GROUP):
            _import(entry.module)
    for name in (*plugins(), *names):
        _import(name)


_imported: set[str] = set()  # plugins that this process has imported, or is importing


def _import(name: str) -> None:
    if name in _imported:
        return
    _imported.add(name)
    file = Path(name) if name.endswith(".py") else None
    try:
        if file is None:
            importlib.import_module(name)
            return
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        if main is not None and Path(main).absolute() == file:
            return  # a script that names itself
        if not file.is_file():
            raise FileNotFoundError("no such file")
        # By its name rather than its path: what it defines can then be sent to other processes.
        if str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))
        module = importlib.import_module(file.stem)
        if Path(module.__file__ or "").absolute() != file:
            raise ImportError(f"{file.stem!r} is the name of another module: rename the file")
    except Exception as error:
        _imported.discard(name)
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise SettingsError(f"plugin {name}: cannot be imported ({said})") from error


def _absolute(name: str) -> str:
    return str(Path(name).absolute()) if name.endswith(".py") else name


def choice(noun: str, name: str, names: Iterable[str]) -> str:
    """Returns ``name`` if it is one of ``names``."""
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
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near else ""


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The nearest of ``names``; empty if none is nearer than ``cutoff``, from 0 to 1 (equal)."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)), "")


def _home(kind: object) -> tuple[object, object]:
    """Where a kind is defined: a module that is imported again may register its kinds again."""
    return getattr(kind, "__module__", None), getattr(kind, "__qualname__", id(kind))
