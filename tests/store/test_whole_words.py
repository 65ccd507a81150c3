"""Searches for whole words: a longer word that begins alike is not found, indexed or not."""

from msgspec.structs import replace
from stores import accept_events, new_event

from commerce_event.core.model import Scope
from commerce_event.store.model import EventQuery, Page
from commerce_event.store.port import Store


async def test_search_for_whole_words_leaves_out_longer_words(store: Store) -> None:
    exact, longer = (replace(new_event(), body=b'{"OrderNo":"%s"}' % number) for number in (b"SO-1", b"SO-12"))
    await accept_events(store, [exact, longer])
    words = EventQuery(scope=Scope.everyone(), text="so 1", whole_words=True)

    assert [each.id for each in await store.history.events(words, Page(10))] == [exact.id]
    while await store.maintenance.index_text(100):
        pass
    assert [each.id for each in await store.history.events(words, Page(10))] == [exact.id]
    beginning = replace(words, whole_words=False)
    assert [each.id for each in await store.history.events(beginning, Page(10))] == [longer.id, exact.id]
