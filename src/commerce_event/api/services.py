"""The services that operations use; the composition root makes them."""

import msgspec

from commerce_event.accept.intake import Intake
from commerce_event.accept.refusals import RefusalRecorder
from commerce_event.api.metrics import Metrics
from commerce_event.api.waiting_calls import WaitingCalls
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import Clock
from commerce_event.core.ids import IdMaker
from commerce_event.deliver.dispatcher import Dispatcher
from commerce_event.deliver.replays import Replays
from commerce_event.deliver.sender import Sender
from commerce_event.http.body_budget import BodyBudget
from commerce_event.maintenance.runner import Maintenance
from commerce_event.registry.registry import Registry
from commerce_event.settings import Settings
from commerce_event.store.fair_slots import FairSlots
from commerce_event.store.port import Store


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """All services of a node."""

    settings: Settings
    clock: Clock
    store: Store
    registry: Registry
    intake: Intake
    dispatcher: Dispatcher
    sender: Sender
    replays: Replays
    maintenance: Maintenance
    metrics: Metrics
    policy: AddressPolicy
    ids: IdMaker
    bodies: BodyBudget
    reads: FairSlots
    refusals: RefusalRecorder
    waiting_calls: WaitingCalls
