"""Filters: select the events of an endpoint by the values in their bodies.

A filter is a JSON object of clauses that must all hold::

    {"PartNo": "A-1"}                                 equal
    {"StatusId": [2, 3]}                              one of these
    {"Total": {"gte": 100, "lt": 500}}                comparisons, all of them
    {"any": [{"PartNo": {"prefix": "A-"}}, {"$.Extra.Origin": "web"}]}
    {"not": {"Currency": "SEK"}}

A name is a property of the contract, or a path such as ``$.Extra.Origin`` to anything else. ``comparisons`` defines
the operators. There are no regular expressions: a filter takes linear time on any event.
"""

import difflib
from collections.abc import Callable, Generator, Iterator, Mapping, Set
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET

from commerce_event.core.comparisons import COMPARISONS, TEXT_MAX, InvalidWantedError, ValueCheck
from commerce_event.core.model import Filter

DEPTH_MAX: Final = 5  # objects of clauses inside each other
CONDITIONS_MAX: Final = 50

Kind = Literal["text", "number"]
_NO_KINDS: Final[Mapping[str, Set[Kind]]] = {}

T = TypeVar("T")
Predicate = Callable[[Mapping[str, Any]], bool]


class InvalidFilterError(ValueError):
    """The filter is invalid; ``pointer`` (RFC 6901) is the place, and the message says what to do there."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


class Condition(msgspec.Struct, frozen=True):
    """One comparison and its result; ``found`` is UNSET, and left out of JSON, when the event lacks the property."""

    pointer: str  # where in the filter
    path: str
    operator: str
    wanted: Any
    found: Any
    passed: bool


class Explanation(msgspec.Struct, frozen=True):
    """The result of a filter for one event, with all its conditions, even those that do not decide it."""

    passed: bool
    conditions: tuple[Condition, ...]


class _Leaf(msgspec.Struct, frozen=True):
    pointer: str
    path: str
    operator: str
    wanted: Any
    check: ValueCheck


class _Group(msgspec.Struct, frozen=True):
    kind: Literal["all", "any", "not"]
    members: tuple["_Leaf | _Group", ...]


_Node = _Leaf | _Group


def check_filter(raw: object, properties: frozenset[str], kinds: Mapping[str, Set[Kind]] = _NO_KINDS) -> Filter:
    """Return the filter if it is valid and its plain names are in ``properties``. An empty object accepts every event.

    A value that a property cannot have, by its ``kinds``, is a fault too: the condition would silently drop events.
    Raises InvalidFilterError for the first fault.
    """
    if not isinstance(raw, dict):
        raise InvalidFilterError("", 'a filter is a JSON object, such as {"PartNo": "A-1"}')
    if raw:
        _Parser(properties, kinds).clauses(raw, "", 1)
    return raw


def names_in(filter_: Filter, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place (a JSON Pointer) of each name and path in a valid filter, and the name or path."""
    for name, value in filter_.items():
        place = _child(pointer, name)
        if name == "not":
            yield from names_in(value, place)
        elif name in {"all", "any"}:
            for at, item in enumerate(value):
                yield from names_in(item, f"{place}/{at}")
        else:
            yield place, name


def compile_filter(filter_: Filter) -> Predicate:
    """Return a fast check of an event's data. Raises InvalidFilterError like ``check_filter``."""
    return CompiledFilter(filter_).passes


class CompiledFilter:
    """A filter as a fast check, and as the same check in steps for long texts.

    ``condition_count`` is the number of its conditions, ``search_count`` the number of those that search a text.
    """

    __slots__ = ("_node", "condition_count", "passes", "search_count")

    def __init__(self, filter_: Filter) -> None:
        """Raises InvalidFilterError like ``check_filter``."""
        self._node = _read(filter_)
        self.passes = _predicate(self._node)
        operators = _operators(self._node)
        self.condition_count = len(operators)
        self.search_count = operators.count("contains")

    def steps(self, data: Mapping[str, Any]) -> Generator[None, None, bool]:
        """Return what ``passes`` returns. Yields after each condition."""
        return _steps(self._node, data)


def finish(steps: Generator[None, None, T]) -> T:
    """Run work in steps to its end at once, and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def explain_filter(filter_: Filter, data: Mapping[str, Any]) -> Explanation:
    """Return the result of the compiled filter with its conditions. Raises InvalidFilterError."""
    return finish(explain_filter_steps(filter_, data))


def explain_filter_steps(filter_: Filter, data: Mapping[str, Any]) -> Generator[None, None, Explanation]:
    """Return what ``explain_filter`` returns. Yields after each condition."""
    conditions: list[Condition] = []
    passed = yield from _explain(_read(filter_), data, conditions)
    return Explanation(passed, tuple(conditions))


def _read(filter_: Filter) -> _Node:
    return _Parser(None).clauses(filter_, "", 1) if filter_ else _Group("all", ())


class _Parser:
    """Parses one filter and counts its conditions; with ``properties=None`` every plain name is allowed."""

    def __init__(self, properties: frozenset[str] | None, kinds: Mapping[str, Set[Kind]] = _NO_KINDS) -> None:
        self._properties = properties
        self._kinds = kinds
        self._count = 0

    def clauses(self, raw: object, pointer: str, depth: int) -> _Node:
        """Parse an object of clauses at this depth of nesting."""
        if not isinstance(raw, dict) or not raw:
            raise InvalidFilterError(pointer, 'write an object with conditions here, such as {"PartNo": "A-1"}')
        if depth > DEPTH_MAX:
            raise InvalidFilterError(pointer, f"conditions go at most {DEPTH_MAX} deep; write it flatter")
        nodes = [self._clause(name, value, _child(pointer, name), depth) for name, value in raw.items()]
        return _group("all", nodes)

    def _clause(self, name: str, value: object, pointer: str, depth: int) -> _Node:
        if name == "not":
            return _Group("not", (self.clauses(value, pointer, depth + 1),))
        if name in {"all", "any"}:
            return self._list("all" if name == "all" else "any", value, pointer, depth)
        self._check_path(name, pointer)
        if isinstance(value, dict):
            return self._comparisons(name, value, pointer)
        return self._leaf(pointer, name, "in" if isinstance(value, list) else "eq", value)

    def _list(self, kind: Literal["all", "any"], value: object, pointer: str, depth: int) -> _Node:
        if not isinstance(value, list) or not value:
            raise InvalidFilterError(pointer, f'"{kind}" takes a list of objects with conditions')
        return _group(kind, [self.clauses(item, f"{pointer}/{at}", depth + 1) for at, item in enumerate(value)])

    def _comparisons(self, path: str, value: dict[str, Any], pointer: str) -> _Node:
        if not value:
            raise InvalidFilterError(pointer, f"name a comparison here: {', '.join(COMPARISONS)}")
        return _group("all", [self._leaf(_child(pointer, op), path, op, wanted) for op, wanted in value.items()])

    def _leaf(self, pointer: str, path: str, operator: str, wanted: object) -> _Leaf:
        self._count += 1
        if self._count > CONDITIONS_MAX:
            raise InvalidFilterError(pointer, f"a filter has at most {CONDITIONS_MAX} conditions; use lists of values")
        make = COMPARISONS.get(operator)
        if make is None:
            raise InvalidFilterError(
                pointer, f"{operator[:40]!r} is not a comparison; there are {', '.join(COMPARISONS)}"
            )
        try:
            leaf = _Leaf(pointer, path, operator, wanted, make(wanted))
        except InvalidWantedError as error:
            raise InvalidFilterError(pointer, f"{operator} {error}") from None
        if operator != "exists" and path in self._kinds:
            self._check_kinds(leaf)
        return leaf

    def _check_kinds(self, leaf: _Leaf) -> None:
        """Reject a value that the property never has."""
        kinds = self._kinds[leaf.path]
        listed = isinstance(leaf.wanted, list)
        for index, value in enumerate(leaf.wanted if listed else [leaf.wanted]):
            kind = _kind(value)
            if kind not in kinds:
                has = " or ".join(f"a {kind}" for kind in sorted(kinds))
                hint = 'for an absent one write {"exists": false}' if value is None else f"write {has}"
                raise InvalidFilterError(
                    f"{leaf.pointer}/{index}" if listed else leaf.pointer, f"{leaf.path} is always {has}; {hint}"
                )

    def _check_path(self, name: str, pointer: str) -> None:
        if len(name) > TEXT_MAX:
            raise InvalidFilterError(pointer, f"a name or path has at most {TEXT_MAX} characters")
        if name.startswith("$"):
            if not name.startswith("$.") or not all(name[2:].split(".")):
                raise InvalidFilterError(pointer, "write a path as $.Name or $.Name.Inner")
        elif self._properties is not None and name not in self._properties:
            raise InvalidFilterError(pointer, unknown_property(name, self._properties))


def _group(kind: Literal["all", "any"], nodes: list[_Node]) -> _Node:
    return nodes[0] if len(nodes) == 1 else _Group(kind, tuple(nodes))


def _kind(value: object) -> Kind | None:
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else None


def unknown_property(name: str, properties: frozenset[str]) -> str:
    """Return the message for a name that none of the chosen event types has, with the nearest one that they have."""
    near = difflib.get_close_matches(name, sorted(properties), n=1)
    hint = f"did you mean {near[0]}?" if near else "check its spelling."
    return f"the chosen event types have no property {name[:40]!r}; {hint} Beyond the contract, write a path: $.Name"


def _child(pointer: str, name: str) -> str:
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _predicate(node: _Node) -> Predicate:
    if isinstance(node, _Leaf):
        return _leaf_predicate(node)
    members = tuple(_predicate(member) for member in node.members)
    if node.kind == "not":
        (inner,) = members
        return lambda data: not inner(data)
    return _every(members) if node.kind == "all" else _some(members)


def _leaf_predicate(leaf: _Leaf) -> Predicate:
    check, path = leaf.check, leaf.path
    if path.startswith("$."):
        names = tuple(path[2:].split("."))
        return lambda data: check(_follow(data, names))
    return lambda data: check(UNSET if (found := data.get(path)) is None else found)


def _every(members: tuple[Predicate, ...]) -> Predicate:
    def every(data: Mapping[str, Any]) -> bool:
        for member in members:  # noqa: SIM110 - a generator would cost more than the tests
            if not member(data):
                return False
        return True

    return every


def _some(members: tuple[Predicate, ...]) -> Predicate:
    def some(data: Mapping[str, Any]) -> bool:
        for member in members:  # noqa: SIM110
            if member(data):
                return True
        return False

    return some


def _operators(node: _Node) -> list[str]:
    if isinstance(node, _Leaf):
        return [node.operator]
    return [operator for member in node.members for operator in _operators(member)]


def _steps(node: _Node, data: Mapping[str, Any]) -> Generator[None, None, bool]:
    if isinstance(node, _Leaf):
        passed = node.check(_find(data, node.path))
        yield
        return passed
    if node.kind == "not":
        return not (yield from _steps(node.members[0], data))
    decisive = node.kind == "any"
    for member in node.members:
        if (yield from _steps(member, data)) is decisive:
            return decisive
    return not decisive


def _explain(node: _Node, data: Mapping[str, Any], into: list[Condition]) -> Generator[None, None, bool]:
    if isinstance(node, _Leaf):
        found = _find(data, node.path)
        passed = node.check(found)
        into.append(Condition(node.pointer, node.path, node.operator, node.wanted, found, passed))
        yield
        return passed
    answers: list[bool] = []
    for member in node.members:  # all of them, for the record
        answers.append((yield from _explain(member, data, into)))  # noqa: PERF401 - a comprehension cannot yield
    if node.kind == "not":
        return not answers[0]
    return all(answers) if node.kind == "all" else any(answers)


def _find(data: Mapping[str, Any], path: str) -> Any:
    if path.startswith("$."):
        return _follow(data, path[2:].split("."))
    found = data.get(path)
    return UNSET if found is None else found  # null in a property of the contract means absent


def _follow(data: Any, names: tuple[str, ...] | list[str]) -> Any:
    for name in names:
        if not isinstance(data, Mapping):
            return UNSET
        data = data.get(name, UNSET)
    return data
