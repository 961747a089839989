"""Recipes: YAML files and options to validated settings; all mistakes in one line."""

from __future__ import annotations

import importlib.resources
import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticUndefined, core_schema

from mofo.registry import choice, did_you_mean, nearest
from mofo.system.files import replaced
from mofo.types import SettingsError

EXTENDS, TASK = "extends", "task"  # keys of a recipe that are no section

Names = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]
"""Several texts; one may be written without brackets."""


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")  # pydantic's words


class OneOf:
    """Marks a text that must be one of some names, mostly those of a registry.

    ``names``: read when a value is checked, so that a registry may grow.
    ``also``: a further value that is allowed, such as the empty text for "not chosen".
    """

    def __init__(self, noun: str, names: Iterable[str], also: str | None = None) -> None:
        self.noun, self.names, self.also = noun, names, also

    def __get_pydantic_core_schema__(self, kind: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(kind))

    def _check(self, value: str) -> str:
        return value if value == self.also else choice(self.noun, value, self.names)


class Section(BaseModel):
    """One section of a recipe: keys with values. The text below a field is its help."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        validate_default=True,
    )


class Settings(Section):
    """All settings of a training: a section in each field, and the task they belong to."""

    def __init__(self, **sections: Any) -> None:
        needed = (name for name, f in type(self).model_fields.items() if f.is_required())
        empty = [*needed, *(name for name, part in sections.items() if part is None)]
        try:
            super().__init__(**{**sections, **{n: {} for n in empty if sections.get(n) is None}})
        except ValidationError as error:
            raise SettingsError(_explain(type(self), error, {}, "settings")) from error

    @classmethod
    def from_yaml(
        cls,
        recipe: str | Path | None = None,
        options: Iterable[tuple[str, str]] = (),
        **sections: Mapping[str, Any],
    ) -> Self:
        """Returns the settings of a recipe with some keys changed.

            PretrainSettings.from_yaml("tiny", data={"source": "videos"}, run={"out": "runs/a"})

        ``recipe``: a YAML file, or the name of one of the package's recipes; None: the defaults.
        ``options``: keys such as ``optim.lr`` with values as YAML writes them.
        """
        read = read_recipe(recipe)
        own = cls.model_fields[TASK].default
        if (task := read.content.get(TASK, own)) != own:
            raise SettingsError(f"{read.name}: is a recipe for task {task!r}, not for {own!r}")
        return cls.from_recipe(read, options, **sections)

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        options: Iterable[tuple[str, str]] = (),
        **sections: Mapping[str, Any],
    ) -> Self:
        """As ``from_yaml``, for a recipe that has been read."""
        content = {key: _copy(value) for key, value in recipe.content.items()}
        origins = dict(recipe.origins)
        given = [(key, yaml_value(text), f"--{key}") for key, text in options]
        for section, keys in sections.items():
            given += [(f"{section}.{key}", value, "") for key, value in keys.items()]
        for key, value, origin in given:
            section, _, name = key.partition(".")
            origins[key] = origin
            if not name:
                content[section] = value
            elif isinstance(content.setdefault(section, {}), dict):
                content[section][name] = value
        try:
            return cls(**{str(section): part for section, part in content.items()})
        except SettingsError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            text = _explain(cls, error.__cause__, origins, recipe.name)
            raise SettingsError(text) from None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], name: str = "settings") -> Self:
        """Returns what ``to_dict`` gave."""
        return cls.from_recipe(Recipe(name, dict(content), {}))

    def change(self, **sections: Mapping[str, Any]) -> Self:
        """Returns these settings with some keys changed, validated: ``change(run={"seed": 1})``."""
        content: dict[str, Any] = self.to_dict()
        for section, keys in sections.items():
            content[section] = {**content.get(section, {}), **keys}
        return type(self).from_dict(content)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data, for YAML and JSON."""
        return self.model_dump(mode="json")

    def write(self, path: str | Path) -> None:
        """Writes all settings; the file is a recipe."""
        text = yaml.safe_dump(self.to_dict(), sort_keys=False)
        with replaced(Path(path)) as half:
            half.write_text(text, encoding="utf-8")

    @classmethod
    def keys(cls) -> dict[str, Key]:
        """Every key, as ``section.name``, with its default and its help."""
        return dict(_keys(cls))

    @classmethod
    def explain(cls) -> str:
        """Every key with its default and its help, a section after the other."""
        lines: list[str] = []
        section = ""
        for name, key in cls.keys().items():
            own, _, last = name.partition(".")
            if own != section:
                lines += [""] * bool(section) + [f"{own}:"]
                section = own
            value = list(key.default) if isinstance(key.default, tuple) else key.default
            lines += [f"  {last} ({value})", f"      {key.help}"]
        return "\n".join(lines)


class Key(BaseModel):
    """A key of a recipe."""

    default: Any
    help: str


class Recipe(NamedTuple):
    """The content of a YAML file, what it extends included.

    ``content``: sections with keys and values, and perhaps ``task``.
    """

    name: str
    content: dict[str, Any]
    origins: dict[str, str]


def recipe_names() -> list[str]:
    """The names of the package's own recipes."""
    files = importlib.resources.files("mofo.recipes").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml"))


def read_recipe(recipe: str | Path | None) -> Recipe:
    """Reads a recipe and those that it extends.

    ``recipe``: a file, or the name of one of the package's recipes; None: nothing is set.
    """
    return Recipe("settings", {}, {}) if recipe is None else _read(str(recipe), None, ())


def _read(recipe: str, folder: Path | None, seen: tuple[Path, ...]) -> Recipe:
    file, text = _text(recipe, folder)
    own_file = file.parent == Path(str(importlib.resources.files("mofo.recipes")))
    name = f"recipe {file.stem}" if own_file else str(file)
    if file in seen:
        raise SettingsError(f"{name}: extends itself")
    try:
        content = yaml.load(text, _Loader)
    except _UNREADABLE as error:
        raise SettingsError(f"{name}: is no recipe: {' '.join(str(error).split())}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise SettingsError(f"{name}: holds no sections such as data, mask, optim")
    base = content.pop(EXTENDS, None)
    keys = {
        f"{section}.{key}" if isinstance(part, dict) else str(section)
        for section, part in content.items()
        for key in (part if isinstance(part, dict) else ("",))
    }
    own = Recipe(name, content, dict.fromkeys(keys, file.name))
    if base is None:
        return own
    below = _read(str(base), file.parent, (*seen, file))
    for section, part in content.items():
        old = below.content.get(section)
        both = isinstance(part, dict) and isinstance(old, dict)
        below.content[section] = old | part if both else part
    return Recipe(name, below.content, below.origins | own.origins)


def _text(recipe: str, folder: Path | None) -> tuple[Path, str]:
    """Where a recipe is, and what is in it."""
    path = Path(recipe)
    try:
        for place in ([folder / path] if folder else []) + [path]:
            if place.is_file():
                return place, place.read_text(encoding="utf-8")
        if path.name == recipe and path.stem in recipe_names():
            file = Path(str(importlib.resources.files("mofo.recipes") / f"{path.stem}.yaml"))
            return file, file.read_text(encoding="utf-8")
        near = [str(entry) for entry in path.parent.glob("*.y*ml")] + recipe_names()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    hint = did_you_mean(recipe, near)
    names = ", ".join(recipe_names())
    raise SettingsError(f"{path}: there is no such recipe: {hint or f'name a file, or {names}'}")


# The last two: no such day, a number of thousands of digits; brackets within brackets.
_UNREADABLE = (yaml.YAMLError, ValueError, RecursionError)


class _Loader(yaml.SafeLoader):
    """YAML without aliases (a few of them can stand for gigabytes), and each key once."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"key {key!r} is given twice, below line {line}")
        return super().construct_mapping(node, deep)


def yaml_value(text: str) -> Any:
    """The value of an option; what is no YAML is a text."""
    try:
        return yaml.load(text, _Loader)
    except _UNREADABLE:
        return text


def _copy(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _keys(settings: type[Settings]) -> Iterator[tuple[str, Key]]:
    for section, field in settings.model_fields.items():
        kind: Any = field.annotation
        if section == TASK:
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, key in kind.model_fields.items():
                yield f"{section}.{name}", Key(default=_default(key), help=_help(key))
        else:  # a dataclass of another room
            defaults = kind()
            for name, text in _described(kind).items():
                yield f"{section}.{name}", Key(default=getattr(defaults, name), help=text)


def _default(field: FieldInfo) -> Any:
    return "required" if field.default is PydanticUndefined else field.default


def _help(field: FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    names = [", ".join(one.names) for one in field.metadata if isinstance(one, OneOf)]
    return f"{text} One of: {names[0]}." if names else text


def _described(kind: type) -> dict[str, str]:
    """By field, the texts below "Attributes:" in a dataclass's docstring."""
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].splitlines():
        if not line.strip():
            break
        head, colon, text = line.strip().partition(": ")
        if colon and not line.startswith(" " * 5):
            names = [name.strip() for name in head.split(",")]
            texts |= dict.fromkeys(names, text)
        else:
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
    return texts


def _explain(
    kind: type[Settings], error: ValidationError, origins: Mapping[str, str], name: str
) -> str:
    problems = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"][:2])
        origin = origins.get(key, "")
        where = f" (in {origin})" if origin and not origin.startswith("--") else ""
        if not where and problem["type"] in _UNKNOWN_KEY:
            where = " (on the command line)" if origin else ""
        problems.append(_problem(kind, key, where, problem))
    return f"{name}: " + "; ".join(problems)


def _problem(kind: type[Settings], key: str, where: str, problem: Any) -> str:
    reason = problem["msg"]
    if problem["type"] in _UNKNOWN_KEY:
        return f"{key}{where}: unknown {_unknown(kind, key)}"
    if problem["type"] == "missing":
        return f"{key} is missing: give it in the recipe or as --{key} ..."
    if problem["type"] == "value_error":
        text = str(problem["ctx"]["error"])
        return text if text.startswith(f"{key.partition('.')[0]}:") else f"{key}{where}: {text}"
    if "." not in key:
        return f"{key}{where}: holds {problem['input']!r}, but should hold keys with values"
    reason = reason.removeprefix("Input ")
    return f"{key}{where}: {problem['input']!r} {reason[0].lower() + reason[1:]}"


def _unknown(kind: type[Settings], key: str) -> str:
    sections = [name for name in kind.model_fields if name != TASK]
    if "." not in key and (hint := did_you_mean(key, sections)):
        return f"section, {hint}"
    names = kind.keys()
    # The last word counts: "lr" is close to "optim.lr".
    last = {name.partition(".")[2]: name for name in names}
    near = nearest(key, names) or last.get(nearest(key.rpartition(".")[2], last))
    if near:
        return f"key, did you mean {near}?"
    section = key.partition(".")[0]
    own = [name.partition(".")[2] for name in names if name.startswith(f"{section}.")]
    if own:
        return f"key, {section} has {', '.join(own)}"
    return f"section, choose from {', '.join(sections)}"
