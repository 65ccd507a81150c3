"""What the page shows: pure data, no markup."""

import msgspec


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """A property, parameter or header. ``link`` is the name of a schema of its own, ``inside`` what it is made of."""

    name: str
    kind: str
    format: str = ""
    required: bool = False
    description: str = ""
    values: tuple[str, ...] = ()
    known_values: tuple[str, ...] = ()  # others may come
    limits: str = ""
    link: str = ""
    inside: tuple["Property", ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """A response; ``example`` is JSON text."""

    status: str
    description: str
    link: str = ""
    example: str = ""


class Event(msgspec.Struct, frozen=True):
    """A webhook."""

    name: str
    kind: str
    description: str
    order_keys: tuple[str, ...]
    headers: tuple[Property, ...]
    properties: tuple[Property, ...]
    example: str
    answers: tuple[Answer, ...]


class Body(msgspec.Struct, frozen=True):
    """What a call takes. ``choices`` names the schemas when it is one of several."""

    link: str
    required: bool
    is_list: bool
    properties: tuple[Property, ...]
    choices: tuple[str, ...]
    media_types: tuple[str, ...]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A management call. ``role`` is what its key must be allowed to do; empty when it takes no key."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    role: str
    parameters: tuple[tuple[str, tuple[Property, ...]], ...]  # by where they go
    body: Body | None
    answers: tuple[Answer, ...]
    problems: tuple[Answer, ...]
    curl: str


class Model(msgspec.Struct, frozen=True):
    """A schema."""

    name: str
    description: str
    properties: tuple[Property, ...]
    example: str


class Tag(msgspec.Struct, frozen=True):
    """Calls that belong together."""

    name: str
    description: str
    operations: tuple[Operation, ...]


class Chapters(msgspec.Struct, frozen=True, kw_only=True):
    """The whole page."""

    title: str
    version: str
    description: str
    servers: tuple[tuple[str, str], ...]
    groups: tuple[tuple[str, tuple[Event, ...]], ...]
    tags: tuple[Tag, ...]
    models: tuple[Model, ...]
