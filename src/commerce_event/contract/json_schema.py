"""JSON Schema (2020-12) for own event types: which schemas are allowed, and where data does not fit one.

The cost of a check is bounded: references stay inside the schema and go in no circle, regular expressions run in linear
time, each keyword has a weight, and so has each value of an event.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import islice, zip_longest
from typing import Any, Final, NamedTuple

import jsonschema_rs

SCHEMA_BYTES_MAX: Final = 32 * 1024
DEPTH_MAX: Final = 16  # of schemas in schemas
WEIGHT_MAX: Final = 100  # of the keywords that apply to one value; a keyword of weight 1 takes at most a microsecond
VALUES_MAX: Final = 5_000  # of one event
PATTERN_MAX: Final = 200  # characters
ENUM_MAX: Final = 500
PATTERN_BYTES_MAX: Final = 2**18  # of the compiled patterns that apply to one value
ALL_PATTERNS_BYTES_MAX: Final = 2**22  # of all compiled patterns of a schema
_PATTERN_WORK_MAX: Final = 2**30  # bytes of an event times bytes of patterns: at worst a byte takes 0.2 ns for each
_PATTERN_SIZES: Final = (2**12, 2**13, 2**14, 2**15, 2**16, 2**17, PATTERN_BYTES_MAX)
_PATTERN_CACHE_BYTES: Final = 2**20
_ERRORS_MAX: Final = 10_000  # that the library may have to describe; each takes 26 microseconds
_COPIES_MAX: Final = 100_000  # of values in those errors; each takes 2 microseconds
_STEP_MIN: Final = 1e-9  # the smallest multipleOf

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Final = re.compile(r"#/\$defs/([A-Za-z0-9_.-]+)")
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}|[0-9][eE]")
_NOT_LINEAR: Final = "is not a regular expression that runs in linear time"
_FRACTIONS: Final = (1e-30, 1e30)  # others take the library long to compare
_INT64: Final = range(-(2**63), 2**63)

_WEIGHTS: Final = {
    **dict.fromkeys(("type", "required", "dependentRequired", "minLength", "maxLength", "minItems", "maxItems"), 1),
    **dict.fromkeys(("minContains", "maxContains", "minProperties", "maxProperties"), 1),
    "pattern": 2,
    "uniqueItems": 5,
    "const": 8,
}
_BOUNDS: Final = frozenset({"multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"})
_NOTES: Final = frozenset(
    {"title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples", "format", "$comment"}
    | {"contentEncoding", "contentMediaType"}
)
# Keywords that contain a schema for the same value, one for values inside it, and several schemas.
_SAME_ONE: Final = frozenset({"not", "if", "then", "else"})
_INNER_ONE: Final = frozenset({"additionalProperties", "propertyNames", "items", "contains"})
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS: Final = frozenset({"dependentSchemas", "properties", "patternProperties"})
_ROOT_ONLY: Final = frozenset({"$schema", "$defs"})

Path = tuple[str | int, ...]


class Violation(NamedTuple):
    """A place where data does not fit a schema, or a schema is not allowed."""

    path: Path
    message: str


class InvalidSchemaError(ValueError):
    """The schema is not allowed."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class SchemaValidator:
    """A schema that is allowed, compiled."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises InvalidSchemaError."""
        weights = _Schema(schema, _weight, WEIGHT_MAX).weights()
        patterns = _Patterns()
        pattern_bytes = max(_Schema(schema, patterns.size, PATTERN_BYTES_MAX).weights())
        self._body_max = _PATTERN_WORK_MAX // pattern_bytes if patterns.total else None  # bytes of an event
        self._schema = dict(schema)
        self._weight_of_root, self._weight_of_others = weights[0], max(weights[1:], default=0)
        self._compiled = _compile(self._schema)

    def violations(self, data: dict[str, Any], body: bytes, limit: int) -> list[Violation]:
        """Return the places where an event does not fit, at most ``limit``. ``body`` is the event as it was sent.

        Of a large event only the properties are named, because describing every place could take seconds.
        """
        if self._body_max is not None and len(body) > self._body_max:
            message = f"must have at most {self._body_max:,} bytes: the patterns of its schema take long to compare"
            return [Violation((), message)]
        found = list(_unchecked(data, body))
        if found or self._compiled.is_valid(data):
            return found[:limit]
        errors = self._weight_of_root + len(body) // 2 * self._weight_of_others
        copies = self._weight_of_root * body.count(b",")
        if errors <= _ERRORS_MAX and copies <= _COPIES_MAX:
            return list(islice(map(_violation, self._compiled.iter_errors(data)), limit))
        inner = self._schema.get("properties", {})
        wrong = (name for name in inner if name in data and not self._properties.is_valid({name: data[name]}))
        return [Violation((name,), "does not fit the schema") for name in islice(wrong, limit)] or [
            Violation((), "does not fit the schema")
        ]

    @cached_property
    def _properties(self) -> jsonschema_rs.Draft202012Validator:
        """The schemas of the properties alone, so that each property can be checked by itself."""
        return _compile({name: self._schema[name] for name in ("properties", "$defs") if name in self._schema})


def _compile(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema, offline=True, validate_formats=False, pattern_options=_pattern_options(PATTERN_BYTES_MAX)
        )
    except jsonschema_rs.ValidationError as error:
        message = _NOT_LINEAR if _is_pattern(error) else _words(error)
        raise InvalidSchemaError(tuple(error.instance_path), message) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise InvalidSchemaError((), f"cannot be used: {str(error)[:200]}") from None


def _pattern_options(size_max: int) -> jsonschema_rs.RegexOptions:
    return jsonschema_rs.RegexOptions(size_max, _PATTERN_CACHE_BYTES)


def _is_pattern(error: jsonschema_rs.ValidationError) -> bool:
    return bool(error.instance_path) and error.kind.name in {"format", "pattern"}


def _unchecked(data: Any, body: bytes) -> Iterator[Violation]:
    """Yield why an event is not checked at all: it has too many values, or numbers that take too long to compare."""
    if body.count(b",") < VALUES_MAX and not _LONG_NUMBER.search(body):
        return
    waiting: list[tuple[Path, Any]] = [((), data)]
    count = 0
    while waiting:
        path, value = waiting.pop()
        count += 1
        if count > VALUES_MAX:
            yield Violation((), f"must have at most {VALUES_MAX:,} values")
            return
        if type(value) is int and value not in _INT64:
            yield Violation(path, "must be a number of at most 64 bits")
            return
        if type(value) is float and value and not _FRACTIONS[0] <= abs(value) <= _FRACTIONS[1]:
            yield Violation(path, "must be 0, or from 1e-30 to 1e30 without its sign")
            return
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting += [((*path, name), member) for name, member in members]


class _Patterns:
    """Measures regular expressions: the time for a letter of a text grows with the size of the compiled pattern."""

    def __init__(self) -> None:
        self.total = 0  # bytes

    def size(self, name: str, value: Any, path: Path) -> int:
        """Return the bytes of a compiled pattern, 0 for other keywords. Raises InvalidSchemaError."""
        if name != "pattern":
            return 0
        found = _pattern_size(value)
        if found is None:
            raise InvalidSchemaError(path, _NOT_LINEAR)
        self.total += found
        if self.total > ALL_PATTERNS_BYTES_MAX:
            raise InvalidSchemaError(path, "is one of too many or too long patterns")
        return found


@lru_cache(maxsize=256)
def _pattern_size(pattern: str) -> int | None:
    """Return a bound of the bytes of a compiled pattern; None for one that cannot be used."""
    for size in _PATTERN_SIZES:
        try:
            jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_pattern_options(size))
        except (jsonschema_rs.ValidationError, ValueError):
            continue
        return size
    return None


class _Schema:
    """Walks a schema, refuses keywords that are not allowed, and sums up the cost of checking a value."""

    def __init__(self, root: Mapping[str, Any], weigh: Callable[[str, Any, Path], int], weight_max: int) -> None:
        """``weigh`` returns the weight of a keyword without schemas in it, or raises InvalidSchemaError."""
        self._root = root
        self._weigh = weigh
        self._weight_max = weight_max
        self._known: dict[str, list[int]] = {}  # weights of definitions
        self._open: list[str] = []  # definitions that are being walked

    def weights(self) -> list[int]:
        """Return the weight of the keywords that apply to one value at each depth of the data.

        Raises InvalidSchemaError.
        """
        definitions = self._root.get("$defs", {})
        if not isinstance(definitions, dict):
            raise InvalidSchemaError(("$defs",), "must be an object")
        found = self._walk(self._root, (), 0)
        for name in definitions:
            self._definition(name, ("$defs", name))
        return found

    def _walk(self, schema: Any, path: Path, depth: int) -> list[int]:
        if isinstance(schema, bool) and path:
            return [1]
        if not isinstance(schema, dict):
            raise InvalidSchemaError(path, "must be an object" if not path else "must be a schema: an object or true")
        if depth > DEPTH_MAX:
            raise InvalidSchemaError(path, f"is nested more than {DEPTH_MAX} levels deep")
        total = [0]
        for name, value in schema.items():
            total = _sum(total, self._keyword(name, value, (*path, name), depth))
        if max(total) > self._weight_max:
            raise InvalidSchemaError(path, "has too many or too costly keywords for one value")
        return total

    def _keyword(self, name: str, value: Any, path: Path, depth: int) -> list[int]:
        if name == "$ref":
            return self._reference(value, path)
        if name in _SAME_ONE:
            return self._walk(value, path, depth + 1)
        if name in _INNER_ONE:
            return [1, *self._walk(value, path, depth + 1)]
        if name in _LISTS | _MAPS:
            return self._collection(name, value, path, depth)
        return [self._weigh(name, value, path)]

    def _collection(self, name: str, value: Any, path: Path, depth: int) -> list[int]:
        members: Iterable[tuple[str | int, Any]]
        if name in _LISTS:
            if not isinstance(value, list) or not value:
                raise InvalidSchemaError(path, "must be a list of schemas")
            members = enumerate(value)
        else:
            if not isinstance(value, dict):
                raise InvalidSchemaError(path, "must be an object of schemas")
            members = value.items()
        inner = [self._walk(each, (*path, key), depth + 1) for key, each in members]
        if name == "patternProperties":
            return [1, *_sum([sum(self._weigh("pattern", key, path) for key in value)], *inner)]
        if name in {"properties", "prefixItems"}:  # each value has one of them
            return [1, *(max(column) for column in zip_longest(*inner, fillvalue=0))]
        return _sum([1], *inner)

    def _reference(self, value: Any, path: Path) -> list[int]:
        match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise InvalidSchemaError(path, "must name a definition of this schema, such as #/$defs/Line")
        return self._definition(match[1], path)

    def _definition(self, name: str, path: Path) -> list[int]:
        if name not in self._known:
            definitions = self._root.get("$defs", {})
            if not isinstance(definitions, dict) or name not in definitions:
                raise InvalidSchemaError(path, f"there is no definition {name} in $defs")
            if name in self._open:
                raise InvalidSchemaError(path, "refers to itself; recursive schemas are not supported")
            self._open.append(name)
            self._known[name] = self._walk(definitions[name], ("$defs", name), len(self._open))
            self._open.pop()
        return self._known[name]


def _sum(*weights: list[int]) -> list[int]:
    return [sum(column) for column in zip_longest(*weights, fillvalue=0)]


def _weight(name: str, value: Any, path: Path) -> int:
    """Return the weight of a keyword without schemas in it. Raises InvalidSchemaError."""
    if name in _NOTES or name.startswith("x-") or (name in _ROOT_ONLY and len(path) == 1):
        if name == "$schema" and value not in (_DIALECT, f"{_DIALECT}#"):  # any JSON value
            raise InvalidSchemaError(path, f"must be {_DIALECT}")
        return 0
    if name in _WEIGHTS:
        if name == "pattern":
            _check_pattern(value, path)
        return _WEIGHTS[name]
    if name in _BOUNDS:
        return _weight_of_bound(name, value, path)
    if name == "enum":
        return _weight_of_enum(value, path)
    raise InvalidSchemaError(path, "is not a keyword that is supported here")


def _weight_of_bound(name: str, value: Any, path: Path) -> int:
    """Return the weight of a bound of numbers: comparing with a fraction takes the library long."""
    if not _is_number(value):
        raise InvalidSchemaError(path, "must be a number")
    if type(value) is int and value not in _INT64:
        raise InvalidSchemaError(path, "must be a number of at most 64 bits")
    if name == "multipleOf" and value < _STEP_MIN:
        raise InvalidSchemaError(path, f"must be at least {_STEP_MIN}")
    if type(value) is int:
        return 1
    return 50 if name == "multipleOf" else 11


def _weight_of_enum(values: Any, path: Path) -> int:
    if not isinstance(values, list) or not 1 <= len(values) <= ENUM_MAX:
        raise InvalidSchemaError(path, f"must be a list of 1 to {ENUM_MAX} values")
    if any(isinstance(each, dict | list | float) for each in values):
        raise InvalidSchemaError(path, "must hold text, whole numbers, true, false or null")
    numbers = sum(map(_is_number, values))
    return 1 + 5 * numbers + (0 if all(isinstance(each, str) for each in values) else len(values) // 20)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _check_pattern(pattern: Any, path: Path) -> None:
    if not isinstance(pattern, str) or len(pattern) > PATTERN_MAX:
        raise InvalidSchemaError(path, f"must be a regular expression of at most {PATTERN_MAX} characters")


# What is wrong, in plain words

_TYPES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_LIMITS: Final = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} properties",
    "maxProperties": "must have at most {} properties",
    "pattern": "must match the pattern {}",
}
_FIXED: Final = {
    "required": "is required",
    "uniqueItems": "must not have an item twice",
    "falseSchema": "is not allowed",
    "contains": "must have an item that fits the schema",
    "anyOf": "must fit one of the schemas",
    "oneOf": "must fit exactly one of the schemas",
    "not": "must not fit the schema",
    "propertyNames": "has a name that is not allowed",
}
_SHOWN_MAX: Final = 10  # values in a message
_TEXT_MAX: Final = 80  # characters of a value in a message


def _violation(error: jsonschema_rs.ValidationError) -> Violation:
    path = tuple(error.instance_path)
    if error.kind.name == "required":
        path = (*path, str(error.kind.value))
    return Violation(path, _words(error))


def _words(error: jsonschema_rs.ValidationError) -> str:
    name, value = error.kind.name, error.kind.value
    if name in _LIMITS:
        return _LIMITS[name].format(_short(value))
    if name == "type":
        return "must be " + " or ".join(_TYPES[each] for each in (value if isinstance(value, list) else [value]))
    if name == "enum":
        return "must be one of " + ", ".join(map(_short, value[:_SHOWN_MAX])) + (", …" if value[_SHOWN_MAX:] else "")
    if name == "const":
        return f"must be {_short(value)}"
    if name == "additionalProperties":
        return "has properties that are not allowed: " + ", ".join(map(_short, value[:_SHOWN_MAX]))
    return _FIXED.get(name, "does not fit the schema")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"
