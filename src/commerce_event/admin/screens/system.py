"""The state of this node: store, accounts, settings."""

from starlette.responses import Response

from commerce_event.admin.number_format import lasting
from commerce_event.admin.page import Page
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.retry import format_duration


async def system(page: Page) -> Response:
    services = page.services
    settings = services.settings
    books = await services.store.history.delivery_counts(page.session.key.scope)
    accounts = services.maintenance.counts.report
    for_all = page.session.key.client_ids is None
    return page.show(
        "system.html",
        for_all=for_all,
        info=await services.store.info() if for_all else None,
        in_flight=services.dispatcher.in_flight,
        unsettled=services.dispatcher.unsettled,
        running=services.dispatcher.running,
        nodes=services.dispatcher.nodes,
        books=[(ids.encode("end", book.endpoint_id), book) for book in books],
        names={each.id: each.description or each.url for each in services.registry.endpoints(page.session.key.scope)},
        balanced=accounts is None or accounts.balanced,
        counted_at=None if accounts is None else rfc3339(accounts.counted_ms),
        retention="for ever" if not settings.retention_s else lasting(settings.retention_s),
        schedule=[format_duration(delay) for delay in settings.retry_schedule_s],
        settings=settings,
        now=rfc3339(services.clock.now_ms()),
    )
