"""Convert request bodies and queries to msgspec structs, and report every fault at its place in plain words.

msgspec decides whether data fits; what it reports is not used. When it rejects something, the data is compared with the
description of the wanted type that ``msgspec.inspect`` gives, and each fault gets a JSON Pointer and a message.
"""

import operator
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from commerce_event.core.problems import Fault, Problem, child, together

_FAULTS_MAX: Final = 50  # in one answer
_UNKNOWN_PROPERTY: Final = "is not a known property"
_UNKNOWN_PARAMETER: Final = "is not a known parameter"
_POINTER_MAX: Final = 200  # characters; a pointer may repeat what was sent

# For each kind of described type: the plain type that tells whether a value is of that kind, and its name.
_KINDS: Final[dict[type[inspect.Type], tuple[Any, str]]] = {
    inspect.IntType: (int, "a whole number"),
    inspect.FloatType: (float, "a number"),
    inspect.StrType: (str, "text"),
    inspect.LiteralType: (str, "text"),
    inspect.BoolType: (bool, "true or false"),
    inspect.ListType: (list, "a list"),
    inspect.DictType: (dict, "an object"),
    inspect.StructType: (dict, "an object"),
    inspect.NoneType: (None, "null"),
    inspect.AnyType: (Any, "anything"),
}
_NAMES: Final[dict[type, str]] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
_BOUNDS: Final = (
    ("ge", operator.ge, "at least"),
    ("gt", operator.gt, "more than"),
    ("le", operator.le, "at most"),
    ("lt", operator.lt, "less than"),
)

T = TypeVar("T")


def convert(raw: Any, wanted: type[T], *, where: str, strict: bool = True) -> T:
    """Return JSON data as the wanted type.

    ``where`` is ``""`` for a body and ``"?"`` for a query, whose values are text: read them with ``strict=False``.
    Text with U+0000 is refused everywhere, because PostgreSQL cannot hold it. Raises Problem 422 with every fault.
    """
    faults = _placed(list(islice(_nul_faults(raw, ""), _FAULTS_MAX)), where)
    if not faults:
        try:
            return msgspec.convert(raw, wanted, strict=strict)
        except msgspec.ValidationError:
            faults = find_faults(raw, wanted, where=where, strict=strict)
    problems = [Problem(422, f"{each.pointer or 'The body'} {each.message}.", faults=[each]) for each in faults]
    raise together(problems) from None


def find_faults(raw: Any, wanted: type, *, where: str = "", strict: bool = True) -> list[Fault]:
    """Return why msgspec does not take ``raw`` as the wanted type: at least one fault, at most 50."""
    found = list(islice(_faults(raw, _described(wanted), "", strict), _FAULTS_MAX))
    return _placed(found or [Fault("", "does not have the form that this call takes")], where)


def _placed(faults: list[Fault], where: str) -> list[Fault]:
    """Return faults whose pointers name parameters if they are those of a query."""
    if where != "?":
        return faults
    return [
        Fault(
            "?" + each.pointer[1:].replace("/", ".")[:_POINTER_MAX],
            _UNKNOWN_PARAMETER if each.message == _UNKNOWN_PROPERTY else each.message,
        )
        for each in faults
    ]


def _nul_faults(value: Any, pointer: str) -> Iterator[Fault]:
    """Yield each text and each name that contains U+0000."""
    if isinstance(value, str):
        if "\0" in value:
            yield Fault(pointer, "must not contain the character U+0000")
    elif isinstance(value, dict):
        for name, member in value.items():
            if isinstance(name, str):
                yield from _nul_faults(name, child(pointer, name))
            yield from _nul_faults(member, child(pointer, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _nul_faults(member, child(pointer, index))


@cache
def _described(wanted: type) -> inspect.Type:
    return inspect.type_info(wanted)


def _faults(value: Any, wanted: inspect.Type, pointer: str, strict: bool) -> Iterator[Fault]:
    """Yield what is wrong with a value, in the order in which it was sent.

    When a value may have several types, the first type of the value's kind is the one that it must fit.
    """
    wanted = _without_metadata(wanted)
    choices = [_without_metadata(each) for each in wanted.types] if isinstance(wanted, inspect.UnionType) else [wanted]
    for choice in choices:
        try:
            usable = msgspec.convert(value, _KINDS[type(choice)][0], strict=strict)
        except msgspec.ValidationError:
            if isinstance(choice, inspect.FloatType) and type(value) is int:
                yield Fault(pointer, "must be a number that fits a double (64 bits)")
                return
            continue
        yield from _faults_of_kind(usable, choice, pointer, strict)
        return
    kinds = " or ".join(dict.fromkeys(_KINDS[type(choice)][1] for choice in choices))
    yield Fault(pointer, f"must be {kinds}, not {_NAMES[type(value)]}")


def _without_metadata(wanted: inspect.Type) -> inspect.Type:
    """Return the type inside its metadata, such as examples, which are for the OpenAPI document."""
    return wanted.type if isinstance(wanted, inspect.Metadata) else wanted


def _faults_of_kind(value: Any, wanted: inspect.Type, pointer: str, strict: bool) -> Iterator[Fault]:
    """Yield what is wrong with a value that has the kind of the wanted type."""
    if isinstance(wanted, inspect.StructType):
        yield from _struct_faults(value, wanted, pointer, strict)
    elif isinstance(wanted, (inspect.ListType, inspect.DictType)):
        members: Iterable[tuple[int | str, Any]]
        if isinstance(wanted, inspect.ListType):
            members, member_type, units = enumerate(value), wanted.item_type, "items"
        else:
            members, member_type, units = value.items(), wanted.value_type, "members"
        yield from _length_faults(value, wanted, pointer, units)
        for name, member in members:
            yield from _faults(member, member_type, child(pointer, name), strict)
    elif isinstance(wanted, inspect.StrType):
        yield from _length_faults(value, wanted, pointer, "characters")
    elif isinstance(wanted, inspect.LiteralType) and value not in wanted.values:
        yield Fault(pointer, f"must be one of {', '.join(map(str, wanted.values))}")
    elif isinstance(wanted, (inspect.IntType, inspect.FloatType)):
        for name, holds, words in _BOUNDS:
            bound = getattr(wanted, name)
            if bound is not None and not holds(value, bound):
                yield Fault(pointer, f"must be {words} {int(bound) if bound == int(bound) else bound}")


def _struct_faults(value: dict[str, Any], wanted: inspect.StructType, pointer: str, strict: bool) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in wanted.fields}
    for name, member in value.items():
        if name in fields:
            yield from _faults(member, fields[name].type, child(pointer, name), strict)
        elif wanted.forbid_unknown_fields:
            yield Fault(child(pointer, name), _UNKNOWN_PROPERTY)
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault(child(pointer, name), "is required")


def _length_faults(
    value: Any, wanted: inspect.StrType | inspect.ListType | inspect.DictType, pointer: str, units: str
) -> Iterator[Fault]:
    if wanted.min_length is not None and len(value) < wanted.min_length:
        at_least = f"must have at least {wanted.min_length} {units}"
        yield Fault(pointer, "must not be empty" if wanted.min_length == 1 else at_least)
    if wanted.max_length is not None and len(value) > wanted.max_length:
        yield Fault(pointer, f"must have at most {wanted.max_length} {units}")
