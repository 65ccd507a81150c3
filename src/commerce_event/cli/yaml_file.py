"""Read and write YAML files of configuration, and name the line of a fault in them.

Values have the types of JSON, as in YAML 1.2: ``NO`` is a text, not false, and a date is a text.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

import yaml

from commerce_event.cli.errors import UsageError
from commerce_event.cli.publish import read_file
from commerce_event.core.problems import child

T = TypeVar("T")
_FILE_MAX_BYTES: Final = 4 * 1024 * 1024
_DEPTH_MAX: Final = 30
_VALUES_MAX: Final = 500_000
_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = (  # the type, its form, and how it begins
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
)
_TAGS: Final = frozenset(f"{_TAG}{name}" for name in ("map", "seq", "str", *(name for name, _, _ in _SCALARS)))


class Place(NamedTuple):
    """A place in a file, from 1."""

    line: int
    column: int


class YamlFile:
    """The content of a YAML file, and the place of each value in it."""

    def __init__(self, name: str, content: Any, places: Mapping[str, Place]) -> None:
        self.name = name
        self.content = content
        self._places = places

    def section(self, name: str, kind: type[T]) -> T:
        """Return the value of a name at the top of the file. Raises UsageError."""
        wanted = "a list" if kind is list else "an object"
        if not isinstance(self.content, dict) or name not in self.content:
            raise UsageError(f"{self.name} has no {name}; write {wanted} under that name")
        found = self.content[name]
        if not isinstance(found, kind):
            raise self.fault(f"/{name}", f"must be {wanted}")
        return found

    def fault(self, pointer: str, message: str) -> UsageError:
        """Return the error for a value at a JSON Pointer, or for the nearest one around it."""
        inner = pointer
        while inner not in self._places and inner:
            inner = inner.rpartition("/")[0]
        place = self._places.get(inner, Place(1, 1))
        return UsageError(f"{self.name}, line {place.line}, column {place.column}: {pointer or 'the file'}: {message}")


class _Loader(yaml.SafeLoader):
    """Reads the types of JSON only."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the library reads it of the class


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


for _type, _form, _first in _SCALARS:
    for _each in (_Loader, _Dumper):
        _each.add_implicit_resolver(f"{_TAG}{_type}", re.compile(f"(?:{_form})\\Z"), _first)


def read_yaml(file: str) -> YamlFile:
    """Return the content of a file, or of the standard input for ``-``. Raises UsageError with line and column."""
    raw = read_file(file, _FILE_MAX_BYTES, f"is larger than {_FILE_MAX_BYTES // 1024**2} MiB; write it in parts")
    name = "the standard input" if file == "-" else file
    try:
        loader = _Loader(raw.decode("utf-8-sig"))
        node = loader.get_single_node()
        places: dict[str, Place] = {}
        if node is not None:
            _find_places(name, node, "", places, 0)
        return YamlFile(name, None if node is None else loader.construct_document(node), places)
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        raise UsageError(f"{name}{place} is not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError(f"{name} is not YAML; it has characters or values that YAML does not allow") from None


def write_yaml(content: Any) -> str:
    """Return YAML that other programs read as the same values."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _find_places(name: str, node: yaml.Node, pointer: str, places: dict[str, Place], depth: int) -> None:
    """Fill in the place of each value. Raises UsageError for what JSON cannot hold."""
    place = _place(node)
    places.setdefault(pointer, place)
    if depth > _DEPTH_MAX:
        raise _refused(name, place, f"values go at most {_DEPTH_MAX} deep")
    if len(places) > _VALUES_MAX:
        raise _refused(name, place, f"a file has at most {_VALUES_MAX:,} values")
    if node.tag not in _TAGS:
        raise _refused(name, place, f"the type {node.tag[:60]} is not allowed; write text, numbers, lists and objects")
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _find_places(name, item, child(pointer, index), places, depth + 1)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
            raise _refused(name, _place(key), "a name is a text; write it in quotes")
        if key.value in seen:
            raise _refused(name, _place(key), f"{key.value[:60]!r} is given twice")
        seen.add(key.value)
        inner = child(pointer, key.value)
        places[inner] = _place(key)
        _find_places(name, value, inner, places, depth + 1)


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _refused(name: str, place: Place, message: str) -> UsageError:
    return UsageError(f"{name}, line {place.line}, column {place.column}: {message}")
