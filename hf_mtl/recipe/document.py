"""A YAML file as plain data that remembers where each of its keys stands, so that every message can name a line.

Values are those of YAML 1.2: `yes`, dates, `1:30` and `1_000` are text, `010` is ten and `1e-3` is a number. Keys are
always text. A key that is written twice is an error, not a silent overwrite.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import yaml

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.paths import exists, is_file, is_folder, names_in
from hf_mtl.recipe.yaml_nodes import BoundedLoader, TooMuchYaml
from hf_mtl.wrong_values import dotted

__all__ = ["ABSENT", "FORMS", "Document", "KeyPath", "child", "parse_yaml", "read_document"]

KeyPath = tuple[str | int, ...]
Constructor: TypeAlias = "Callable[[yaml.SafeLoader, yaml.ScalarNode], object]"
ABSENT: Final = object()
"""Stands for a value that is not there, where None may be one that is."""

_TASKS = "tasks"
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MAX_BYTES = 1024 * 1024  # 300 tasks take 150,000; a megabyte takes a second to read
_SHOWN = 200  # characters of a line


@dataclass(frozen=True)
class Document:
    """The data of a recipe and the origin of its parts.

    Args:
        path: The file.
        data: What it says: mappings, lists, text, numbers, booleans and None.
        places: Where a key was written, as messages name it: `recipe.yaml:12`, or `--set`.
        problems: What is wrong with the file's form although it can be read: keys that are written twice.
    """

    path: Path
    data: dict[str, object]
    places: dict[KeyPath, str]
    problems: tuple[str, ...] = ()

    def problem(self, path: KeyPath, text: str) -> str:
        """Return the message `text` headed by the place of the key `path` (or of the nearest key around it)."""
        known = path
        while known and known not in self.places:
            known = known[:-1]
        place = self.places.get(known, self.path.name)
        return f"{place} {dotted(path)}: {text}" if path else f"{place}: {text}"

    def value(self, path: KeyPath) -> object:
        """Return what the file says at `path`, or None when it says nothing there."""
        found: object = self.data
        for key in path:
            found = child(found, key)
        return None if found is ABSENT else found


def child(data: object, key: str | int) -> object:
    """Return what stands under one key of a mapping or at one place of a list, or `ABSENT`."""
    if isinstance(data, dict):
        return data.get(key, ABSENT)
    if isinstance(data, list) and isinstance(key, int) and key < len(data):
        return data[key]
    return ABSENT


class _Loader(BoundedLoader):
    """The safe loader with the booleans, numbers and nulls of YAML 1.2's core schema."""


_MERGE = (
    "tag:yaml.org,2002:merge"  # of YAML 1.1, and kept: as a key, `<<: *anchor` takes a mapping's keys over
)
_LONGEST = 4300  # digits; Python turns no longer text into a whole number


def _whole_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node))
    if text.startswith(("0o", "0x")):
        return int(text, 0)
    return int(text) if len(text) < _LONGEST else float(text)


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_RULES: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"null|Null|NULL|~|", ("n", "N", "~", "")),
)
"""https://yaml.org/spec/1.2.2/#103-core-schema: what a plain text without a tag stands for, and how it begins."""

_Loader.yaml_implicit_resolvers = {"<": [(_MERGE, re.compile(r"^(?:<<)$"))]}
for _kind, _form, _beginnings in _RULES:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_form})\Z"), list(_beginnings)
    )


def _reading(construct: Callable[[yaml.SafeLoader, yaml.ScalarNode], object]) -> Constructor:
    """The same, for values whose tag (`!!int abc`) says what they are not."""

    def read(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
        try:
            return construct(loader, node)
        except (KeyError, ValueError) as error:
            text = f"{node.value[:60]!r} is not what its tag {node.tag.rpartition(':')[2]!r} says"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from error

    return read


_Loader.yaml_constructors = {
    "tag:yaml.org,2002:bool": _reading(yaml.SafeLoader.construct_yaml_bool),
    "tag:yaml.org,2002:float": _reading(yaml.SafeLoader.construct_yaml_float),
    "tag:yaml.org,2002:int": _reading(_whole_number),
    "tag:yaml.org,2002:map": yaml.SafeLoader.construct_yaml_map,
    "tag:yaml.org,2002:null": yaml.SafeLoader.construct_yaml_null,
    "tag:yaml.org,2002:seq": yaml.SafeLoader.construct_yaml_seq,
    "tag:yaml.org,2002:str": _text,
    _MERGE: _text,  # where it is a value
    None: yaml.SafeLoader.construct_undefined,
}


FORMS: Final = MappingProxyType(_Loader.yaml_implicit_resolvers)
"""By its first character, the tags and patterns of text that stands for something else."""


def parse_yaml(text: str) -> object:
    """Return the value that `text` stands for in a recipe.

    >>> parse_yaml("1e-3"), parse_yaml("[no, yes]"), parse_yaml("8")
    (0.001, ['no', 'yes'], 8)
    """
    value: object = yaml.load(text, Loader=_Loader)
    return value


class _Walk:
    """Turns composed nodes into data and notes where every key stands."""

    def __init__(self, loader: _Loader, file_name: str) -> None:
        self.loader = loader
        self.file_name = file_name
        self.places: dict[KeyPath, str] = {}
        self.problems: list[str] = []
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        if any(node is outer for outer in self._open):
            raise ConfigError(
                f"{self._place(node)} {dotted(path)}: this alias contains itself; write the value out."
            )
        if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
            raise ConfigError(
                f"{self._place(node)} {dotted(path)}: the tag {node.tag!r} is not supported; leave it out."
            )
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._item(child, (*path, index)) for index, child in enumerate(node.value)]
            scalar: object = self.loader.construct_object(node)
            return scalar
        finally:
            self._open.pop()

    def _item(self, node: yaml.Node, path: KeyPath) -> object:
        self.places[path] = self._place(node)
        return self.value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        self._refuse_duplicates(node, path)
        self.loader.flatten_mapping(node)
        data: dict[str, object] = {}
        for key_node, child in node.value:
            key = str(key_node.value)
            self.places[(*path, key)] = self._place(key_node)
            data[key] = self.value(child, (*path, key))
        return data

    def _refuse_duplicates(self, node: yaml.MappingNode, path: KeyPath) -> None:
        first: dict[Hashable, yaml.Node] = {}
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key not in first:
                first[key] = key_node
                continue
            what = "two tasks of one name" if path == (_TASKS,) else "the same key twice"
            one, other = first[key].start_mark.line + 1, key_node.start_mark.line + 1
            lines = f"line {one}" if one == other else f"lines {one} and {other}"
            self.problems.append(
                f"{self._place(key_node)} {dotted((*path, key))}: {what}, on {lines}; rename or remove one."
            )

    def _place(self, node: yaml.Node) -> str:
        return f"{self.file_name}:{node.start_mark.line + 1}"


def read_document(path: Path) -> Document:
    """Read a recipe's YAML.

    Raises:
        ConfigError: There is no such file, it is not YAML, or its top level is not a mapping.
    """
    if is_folder(path):
        raise ConfigError(
            f"{path} is a folder; expected a recipe file. Did you mean {str(path / 'recipe.yaml')!r}?"
        )
    if exists(path) and not is_file(path) and not path.is_char_device():
        raise ConfigError(
            f"{path} is a pipe, a socket or a disk; expected a recipe file, beside which its data lie."
        )
    try:
        text = _text_of(path)
    except FileNotFoundError:
        raise ConfigError(_no_such_file(path)) from None
    except (OSError, ValueError) as error:  # too long, a NUL, half a surrogate pair, another encoding
        advice = " Save it as UTF-8." if isinstance(error, UnicodeDecodeError) else ""
        raise ConfigError(f"{path} cannot be read as a recipe: {error!s:.300}.{advice}") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        walk = _Walk(loader, path.name)
        data = {} if node is None else walk.value(node, ())
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_problem(path, text, error)) from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name}:1: expected `key: value` lines at the top level, found {data!r:.60}.")
    return Document(path, data, walk.places, tuple(walk.problems))


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise ConfigError(
            f"{path} is larger than {_MAX_BYTES:,} bytes, the most that a recipe may have. Rows belong in files of "
            f"their own, which the recipe names."
        )
    return raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _no_such_file(path: Path) -> str:
    beside = [name for name in names_in(path.parent) if name.endswith((".yaml", ".yml"))]
    hint = did_you_mean(path.name, beside)
    there = f" Recipes in {path.parent}: {listing(beside)}." if beside else ""
    return f"There is no recipe {path}.{hint}{there} `hf-mtl recipes list` names the recipes that come with hf_mtl."


def _syntax_problem(path: Path, text: str, error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{path.name}: not valid YAML: {error}"
    mark = error.problem_mark
    reasons = ", ".join(reason for reason in (error.context, error.problem) if reason)
    line = text.splitlines()[mark.line : mark.line + 1]
    shown = f"\n    {line[0].strip():.{_SHOWN}}" if line else ""
    what = "cannot be read" if isinstance(error, TooMuchYaml) else "not valid YAML"
    return f"{path.name}:{mark.line + 1}:{mark.column + 1}: {what}: {reasons}.{shown}"
