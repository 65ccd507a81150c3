"""The state of the node that answers, and of its store."""

import msgspec

from commerce_event import __version__
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.core.clock import rfc3339


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """What the node that answers is doing, and the settings in force."""

    version: str
    now: str
    nodes: int
    running: bool
    held: bool
    in_flight: int
    unsettled: int
    timeout_s: float
    retry_schedule: list[float]
    retention_s: float | None
    allowed_hosts: list[str] | None
    allow_networks: list[str] | None
    max_body_bytes: int | None


class StoreView(msgspec.Struct, frozen=True, kw_only=True):
    """Engine, place and size of the store."""

    engine: str
    version: str
    location: str
    schema_version: int
    durability: str
    size_bytes: int
    free_bytes: int | None


async def read_node(call: Call) -> Reply:
    dispatcher, settings = call.services.dispatcher, call.services.settings
    for_all = call.scope.client_ids is None
    return Reply(
        NodeView(
            version=__version__,
            now=rfc3339(call.now_ms),
            nodes=dispatcher.nodes,
            running=dispatcher.running,
            held=settings.hold_deliveries,
            in_flight=dispatcher.in_flight,
            unsettled=dispatcher.unsettled,
            timeout_s=settings.timeout_s,
            retry_schedule=list(settings.retry_schedule_s),
            retention_s=settings.retention_s or None,
            allowed_hosts=list(settings.allowed_hosts) if for_all else None,
            allow_networks=list(settings.allow_networks) if for_all else None,
            max_body_bytes=settings.max_body if for_all else None,
        )
    )


async def read_store(call: Call) -> Reply:
    info = await call.services.store.info()
    return Reply(
        StoreView(
            engine=info.engine,
            version=info.version,
            location=info.location,
            schema_version=info.schema_version,
            durability=info.durability,
            size_bytes=info.size_bytes,
            free_bytes=info.free_bytes,
        )
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/node",
        name="readNode",
        summary="Read the state of the node",
        tag="Monitoring",
        needs="read",
        run=read_node,
        answers={200: NodeView},
        description="Of the node that answers. Settings that concern every client are shown to admins only.",
    ),
    Operation(
        method="GET",
        path="/v1/store",
        name="readStore",
        summary="Read the state of the store",
        tag="Monitoring",
        needs="admin",
        run=read_store,
        answers={200: StoreView},
        description="Engine, durability and size.",
    ),
)
