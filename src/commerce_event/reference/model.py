"""The content of the reference page: plain data, no markup."""

import msgspec


class PropertyDoc(msgspec.Struct, frozen=True, kw_only=True):
    """A property, parameter or header. ``link`` names its schema, ``inside`` are the properties of its value."""

    name: str
    kind: str
    format: str = ""
    required: bool = False
    description: str = ""
    values: tuple[str, ...] = ()
    known_values: tuple[str, ...] = ()  # more may be added
    limits: str = ""
    link: str = ""
    inside: tuple["PropertyDoc", ...] = ()


class ResponseDoc(msgspec.Struct, frozen=True):
    """A response; ``example`` is JSON text."""

    status: str
    description: str
    link: str = ""
    example: str = ""


class EventDoc(msgspec.Struct, frozen=True):
    """A webhook."""

    name: str
    kind: str
    description: str
    order_keys: tuple[str, ...]
    headers: tuple[PropertyDoc, ...]
    properties: tuple[PropertyDoc, ...]
    example: str
    responses: tuple[ResponseDoc, ...]


class BodyDoc(msgspec.Struct, frozen=True):
    """The body of a request. ``choices`` names the schemas when it may have one of several."""

    link: str
    required: bool
    is_list: bool
    properties: tuple[PropertyDoc, ...]
    choices: tuple[str, ...]
    media_types: tuple[str, ...]


class OperationDoc(msgspec.Struct, frozen=True, kw_only=True):
    """An API operation. ``role`` is the role that its key needs; empty when it needs no key."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    role: str
    parameters: tuple[tuple[str, tuple[PropertyDoc, ...]], ...]  # by location: path, query, header
    body: BodyDoc | None
    responses: tuple[ResponseDoc, ...]
    problems: tuple[ResponseDoc, ...]
    curl: str


class SchemaDoc(msgspec.Struct, frozen=True):
    """A schema."""

    name: str
    description: str
    properties: tuple[PropertyDoc, ...]
    example: str


class TagDoc(msgspec.Struct, frozen=True):
    """A group of operations."""

    name: str
    description: str
    operations: tuple[OperationDoc, ...]


class SettingDoc(msgspec.Struct, frozen=True):
    """A setting of this server, and what the contract documents."""

    name: str
    value: str
    documented: str


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force, as text, next to the documented ones."""

    timeout: str
    documented_timeout: str
    delays: tuple[str, ...]
    retries: str
    documented_retries: str
    max_body: str
    table: tuple[SettingDoc, ...]


class ReferencePage(msgspec.Struct, frozen=True, kw_only=True):
    """The whole page."""

    title: str
    version: str
    description: str
    servers: tuple[tuple[str, str], ...]
    groups: tuple[tuple[str, tuple[EventDoc, ...]], ...]
    tags: tuple[TagDoc, ...]
    schemas: tuple[SchemaDoc, ...]
