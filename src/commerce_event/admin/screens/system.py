"""The state of this node, its store and the delivery counts."""

from starlette.responses import Response

from commerce_event.admin.number_format import duration
from commerce_event.admin.screen_context import ScreenContext
from commerce_event.core.durations import setting_duration


async def show_system(context: ScreenContext) -> Response:
    node = await context.call("readNode")
    return context.render(
        "system.html",
        node=node,
        store=await context.call("readStore") if context.session.key.role == "admin" else None,
        books=await context.call("readBooks"),
        retention="for ever" if node.retention_s is None else duration(node.retention_s),
        schedule=[setting_duration(delay) for delay in node.retry_schedule],
    )
