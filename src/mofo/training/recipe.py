"""Recipes: YAML files and ``--key value`` pairs to settings, and all mistakes in one line."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from mofo.training.pretrain_settings import PretrainSettings
from mofo.types import SettingsError

_STRICT = ConfigDict(extra="forbid")
# A recipe may name the one that it changes.
_EXTENDS = "extends"
# Sections of one verb only.
_OF_VERB = {"mask": "pretrain", "augment": "finetune"}
S = TypeVar("S")


def load_settings(
    path: str | Path | None,
    pairs: Iterable[tuple[str, str]] = (),
    kind: type[S] = PretrainSettings,  # type: ignore[assignment]
) -> S:
    """Settings from a recipe with some keys changed.

    Args:
        path: YAML file; None: the defaults.
        pairs: keys such as ``optim.lr`` with values in YAML's way of writing.
        kind: of settings: ``PretrainSettings``, ``FinetuneSettings``.

    Raises:
        SettingsError: the file cannot be read, or anything in it is wrong: unknown keys (with the
            nearest valid one), wrong types, impossible values, all in one line.
    """
    sections = _read(Path(path)) if path is not None else {}
    problems = []
    for key, text in pairs:
        section, _, name = key.partition(".")
        if not name:
            problems.append(f"--{key}: {_unknown(key, kind)}")
            continue
        sections.setdefault(section, {})
        try:
            sections[section][name] = yaml.safe_load(text)
        except yaml.YAMLError:
            sections[section][name] = text
    name = str(path) if path is not None else "settings"
    return settings_from(sections, problems, name, kind)


def settings_from(
    sections: Mapping[str, Any],
    problems: Iterable[str] = (),
    name: str = "settings",
    kind: type[S] = PretrainSettings,  # type: ignore[assignment]
) -> S:
    """Settings from plain data, as ``plain`` gives it; see ``load_settings``."""
    problems = list(problems)
    kinds = get_type_hints(kind)
    parts: dict[str, Any] = {}
    for section in sections:
        if section not in kinds:
            if section in _OF_VERB:
                problems.append(f"{section}: is for `mofo {_OF_VERB[section]}`, not for this")
                continue
            near = difflib.get_close_matches(section, kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(kinds)}"
            problems.append(f"{section}: unknown section, {hint}")
    for section, part in kinds.items():
        content = sections.get(section)
        content = {} if content is None else content
        if not isinstance(content, Mapping):
            problems.append(f"{section}: holds {content!r}, but should hold keys with values")
            continue
        parts[section], wrong = _section(section, part, dict(content), kind)
        problems += wrong
    if problems:
        raise SettingsError(f"{name}: " + "; ".join(problems))
    return kind(**parts)


def plain(settings: Any) -> dict[str, dict[str, Any]]:
    """Settings as plain data, for YAML and JSON."""
    return {
        section: {
            key: list(value) if isinstance(value, tuple) else value for key, value in part.items()
        }
        for section, part in asdict(settings).items()
    }


def write_settings(settings: Any, path: Path) -> None:
    """Writes the resolved settings; the file is a recipe."""
    path.write_text(yaml.safe_dump(plain(settings), sort_keys=False), encoding="utf-8")


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, dict[str, Any]]:
    if path.resolve() in seen:
        raise SettingsError(f"{path}: extends itself")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such recipe{_near_file(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds no sections such as data, mask, optim")
    base = content.pop(_EXTENDS, None)
    if base is None:
        return content
    merged = _read(path.parent / str(base), (*seen, path.resolve()))
    for section, part in content.items():
        if isinstance(part, dict) and isinstance(merged.get(section), dict):
            merged[section] = merged[section] | part
        else:
            merged[section] = part
    return merged


def _section(
    section: str, kind: type, content: dict[str, Any], whole: type
) -> tuple[Any, list[str]]:
    """One section's settings, and what is wrong with it."""
    for field in fields(kind):
        # One source or tracker may be written without brackets.
        if str(field.type).startswith("tuple[str") and isinstance(content.get(field.name), str):
            content[field.name] = [content[field.name]]
        # YAML takes 1e-3 for a text: its numbers need a point.
        if str(field.type) == "float" and isinstance(content.get(field.name), str):
            with contextlib.suppress(ValueError):
                content[field.name] = float(content[field.name])
    # Pydantic reads stdlib dataclasses, but takes their strictness from an attribute only.
    strict = type(kind.__name__, (kind,), {"__pydantic_config__": _STRICT})
    try:
        TypeAdapter(strict).validate_python(content)
        return kind(**_typed(strict, content)), []
    except ValidationError as error:
        return None, [_problem(section, whole, problem) for problem in error.errors()]
    except SettingsError as error:
        return None, [str(error)]


def _typed(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    part: Any = TypeAdapter(kind).validate_python(content)
    return {field.name: getattr(part, field.name) for field in fields(kind)}


def _problem(section: str, whole: type, problem: Any) -> str:
    key = ".".join(str(part) for part in (section, *problem["loc"]))
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{key}: {_unknown(key, whole)}"
    if problem["type"].startswith("missing"):
        return f"{key} is missing: give it in the recipe or as --{key} ..."
    return f"{key}: {problem['input']!r}: {problem['msg'][0].lower() + problem['msg'][1:]}"


def _unknown(key: str, whole: type) -> str:
    names = known_keys(whole)
    # The last word counts: "lr" is close to "optim.lr".
    last = {name.partition(".")[2]: name for name in names}
    near = difflib.get_close_matches(key, names, n=1) or [
        last[word] for word in difflib.get_close_matches(key.rpartition(".")[2], last, n=1)
    ]
    return "unknown key" + (f", did you mean {near[0]}?" if near else "")


def known_keys(whole: type = PretrainSettings) -> list[str]:
    """All keys, as ``section.name``."""
    return [
        f"{section}.{field.name}"
        for section, kind in get_type_hints(whole).items()
        for field in fields(kind)
    ]


def explain_keys(whole: type = PretrainSettings) -> str:
    """All keys with their defaults and what they mean, a section after the other."""
    blocks = []
    for section, kind in get_type_hints(whole).items():
        about: dict[str, str] = {}
        for each in reversed(kind.__mro__):  # what is inherited is described where it comes from
            about |= _described(inspect.cleandoc(each.__doc__ or ""))
        lines = [f"{section}:"]
        for field in fields(kind):
            value = "required" if field.default is MISSING else field.default
            value = list(value) if isinstance(value, tuple) else value
            lines += [f"  {field.name} ({value})", f"      {about.get(field.name, '')}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _described(text: str) -> dict[str, str]:
    """The entries below "Attributes:" in a docstring; several names may share one."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.partition("Attributes:\n")[2].partition("\nRaises:")[0].splitlines():
        start = re.fullmatch(r"    (\w[\w, ]*): (.*)", line)
        if start:
            names = [name.strip() for name in start[1].split(",")]
            found |= dict.fromkeys(names, start[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def _near_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.glob("*.y*ml")]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return f", did you mean {path.parent / near[0]}?" if near else ""
