"""The composition root: build a node from the settings, serve it, and stop it. Only this module knows all packages."""

import asyncio
import gc
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from starlette.routing import BaseRoute

from commerce_event.accept.intake import Intake
from commerce_event.accept.publish import Publisher
from commerce_event.accept.refusals import RefusalRecorder
from commerce_event.admin import routes as admin
from commerce_event.api.app import create_app
from commerce_event.api.metrics import Metrics
from commerce_event.api.read_limits import read_slots
from commerce_event.api.services import Services
from commerce_event.api.waiting_calls import WaitingCalls
from commerce_event.changes.change_intake import ChangeIntake
from commerce_event.changes.receiver import ChangeReceiver
from commerce_event.changes.release import NotificationRelease
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import Clock, SharedClock, SystemClock
from commerce_event.core.file_shares import FileShares, share_files
from commerce_event.core.ids import NODE_BITS, IdMaker
from commerce_event.core.vault import Vault, VaultError
from commerce_event.deliver.dispatcher import Dispatcher
from commerce_event.deliver.replays import Replays
from commerce_event.deliver.resolver import Resolver
from commerce_event.deliver.sender import Sender
from commerce_event.http.body_budget import BodyBudget
from commerce_event.http.protocol import Limits
from commerce_event.http.uvicorn_server import http_server, listen
from commerce_event.loop_monitor import LoopMonitor
from commerce_event.maintenance.activity_recorder import ActivityRecorder
from commerce_event.maintenance.runner import Maintenance
from commerce_event.reference import routes as reference
from commerce_event.reference.samples import handlers
from commerce_event.registry.key_file import KeyFile
from commerce_event.registry.registry import Registry
from commerce_event.settings import Settings
from commerce_event.store.port import Store, StoreRefusedError
from commerce_event.store.postgres import PostgresStore
from commerce_event.store.sqlite import SqliteStore
from commerce_event.web.assets import Assets
from commerce_event.web.pages import Pages
from commerce_event.web.problem_pages import ProblemPages

_STOP_MAX_S: Final = 7.5  # from the signal to the end of all work: longer than an attempt, which takes 5 s by default
_RECORD_S: Final = 2.0  # the last part of it, reserved for writing the results of the last attempts
_CLOSE_STORE_MAX_S: Final = 1.5  # after that, for a store that does not answer
_FILES_UNLIMITED: Final = 1_000_000  # assumed when the system has no limit of open files

log = structlog.get_logger(__name__)


async def serve(
    settings: Settings, *, on_ready: "Callable[[Node, str], None]", on_stop: Callable[[], None] = lambda: None
) -> int:
    """Run a node until a signal; return the exit code: 0 after a signal, 1 when the store or the HTTP server failed.

    ``on_ready`` gets the node and its URL; ``on_stop`` is called when a signal arrives.
    """
    files = file_shares(settings)
    limits = Limits(max_connections=files.callers)
    tune_collector()
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    node = Node(settings, files)
    await node.start(own_addresses=frozenset({(host, port)}))
    node.loop_monitor.start()
    server = http_server(node.app, limits)
    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as SIGHUP is under nohup
            loop.add_signal_handler(number, signalled.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    store_failed = asyncio.create_task(node.store.failed())
    waiting_for_signal = asyncio.create_task(signalled.wait())
    on_ready(node, f"http://{f'[{host}]' if ':' in host else host}:{port}")
    await asyncio.wait({serving, store_failed, waiting_for_signal}, return_when=asyncio.FIRST_COMPLETED)
    until = loop.time() + _STOP_MAX_S
    server.should_exit = True
    node.waiting_calls.close()
    if signalled.is_set():
        on_stop()
    if store_failed.done():
        log.critical("stopping: the store is broken", error=str(store_failed.result()))
        await serving
        return 1
    node.dispatcher.stop_sending()  # attempts in progress go on while requests are finished here
    await asyncio.wait({serving})
    for task in (store_failed, waiting_for_signal):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await node.stop(max(_RECORD_S, until - loop.time()))
    if failure := serving.exception():
        log.critical("stopped: the HTTP server failed", error=str(failure))
        return 1
    return 0


class Node:
    """A running node: the store and everything that uses it. ``app`` is the ASGI application."""

    def __init__(self, settings: Settings, files: FileShares | None = None) -> None:
        self.settings = settings
        self.files = files or file_shares(settings)
        self.clock = make_clock(settings)
        self.store = make_store(settings, self.clock)
        self.loop_monitor = LoopMonitor()
        self.first_key: str | None = None  # created at the first start, shown only once

    async def start(self, *, own_addresses: frozenset[tuple[str, int]] = frozenset()) -> None:
        """Open the store and start to accept and deliver. Raises StoreRefusedError with the remedy.

        ``own_addresses`` are the addresses of this API: nothing is delivered to them.
        """
        await self.store.open()
        try:
            await self._compose(own_addresses)
        except BaseException:
            await self.store.close()
            raise

    async def _compose(self, own_addresses: frozenset[tuple[str, int]]) -> None:
        settings, clock, store = self.settings, self.clock, self.store
        ids = IdMaker(node=store.run_id % 2**NODE_BITS, after=await store.last_id())
        try:
            key_file = KeyFile(settings.secret_key, settings.store_path())
            vault = Vault(key_file.key)
            self.registry = Registry(store, vault, ids, admin_key=settings.admin_key, clock=clock)
            await self.registry.load()
        except VaultError as error:
            raise StoreRefusedError(str(error)) from None
        key_file.save()
        policy = AddressPolicy(settings.allow_networks)
        self.sender = Sender(
            resolver=Resolver(policy, own_addresses),
            timeout_s=settings.timeout_s,
            clock=clock,
            installation_id=vault.installation_id,
            event_type_of=self.registry.event_type,
            connections_max=self.files.receivers,
        )
        self.dispatcher = Dispatcher(
            store,
            self.registry,
            self.sender,
            clock,
            timeout_s=settings.timeout_s,
            retry_schedule_s=settings.retry_schedule_s,
            max_in_flight=self.files.in_flight,
            circuit_failures=settings.circuit_failures,
        )
        self.intake = Intake(store, self.registry, self.dispatcher, ids, clock)
        self.release = NotificationRelease(store, self.registry, self.intake, clock)
        self.change_intake = ChangeIntake(store, self.registry, self.intake, self.release, ids, clock)
        self.replays = Replays(store, self.registry, ids, clock, self.dispatcher.wake, self.intake.turns.run)
        recorder = ActivityRecorder(clock)
        self.dispatcher.on_attempt.append(recorder.attempted)
        self.intake.on_accepted.append(lambda client_id, _: recorder.accepted(client_id))
        self.waiting_calls = WaitingCalls(store.history.last_sequences)
        self.intake.on_accepted.append(self.waiting_calls.notice)
        self.maintenance = Maintenance(
            store,
            self.registry,
            clock,
            recorder,
            retention_s=settings.retention_s,
            refusal_retention_s=settings.refusal_retention_s,
            change_retention_s=settings.change_retention_s,
        )
        self.metrics = Metrics(self.dispatcher, self.maintenance, self.loop_monitor, self.waiting_calls)
        self.refusals = RefusalRecorder(
            store.refusals,
            ids,
            clock,
            lambda: self.registry.catalogue.types,
            self.metrics.dropped_refusals.inc,
            body_max=settings.max_body,
        )
        self.dispatcher.on_attempt.append(self.metrics.attempt)
        services = Services(
            settings=settings,
            clock=clock,
            store=store,
            registry=self.registry,
            intake=self.intake,
            dispatcher=self.dispatcher,
            sender=self.sender,
            replays=self.replays,
            maintenance=self.maintenance,
            metrics=self.metrics,
            policy=policy,
            ids=ids,
            bodies=BodyBudget(settings.max_body_memory),
            reads=read_slots(),
            refusals=self.refusals,
            waiting_calls=self.waiting_calls,
        )
        publisher = Publisher(
            self.registry,
            self.intake,
            self.metrics,
            services.bodies,
            self.refusals,
            body_max=settings.max_body,
            installation_id=vault.installation_id,
        )
        changes = ChangeReceiver(
            self.registry,
            self.intake,
            self.change_intake,
            self.metrics,
            services.bodies,
            change_max=settings.max_body,
        )
        self.app = create_app(services, publisher, changes, *_browser_routes(services, vault))
        if settings.admin_key is None and not any(
            key.role == "admin" and key.revoked_ms is None for key in self.registry.all_keys()
        ):
            _, self.first_key = await self.registry.add_key("admin", None, "first key", clock.now_ms())
        self.store.on_notice = lambda _: self.dispatcher.wake()  # which also reads changes of other nodes
        if not settings.hold_deliveries:
            self.dispatcher.start()
        self.replays.run()
        self.release.start()
        self.maintenance.start()

    async def stop(self, within_s: float = _STOP_MAX_S) -> None:
        """Finish the work in progress and record its results within the time; then close the store."""
        now = asyncio.get_running_loop().time
        until = now() + within_s
        self.loop_monitor.close()
        self.waiting_calls.close()
        self.dispatcher.stop_sending()
        try:
            async with asyncio.timeout_at(until):
                await self.release.close()
                await self.change_intake.close(within_s - _RECORD_S)
                await self.intake.close(max(0.0, until - now() - _RECORD_S))
                await self.replays.close()
                await self.refusals.close(_RECORD_S)
                await self.dispatcher.close(max(0.0, until - now() - _RECORD_S))
                await self.maintenance.close()
                await self.sender.close()
        except TimeoutError:
            log.warning("stopping took too long: the rest of the work is done after the next start, or by another node")
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_STORE_MAX_S):
                await self.store.close()


@asynccontextmanager
async def open_registry(settings: Settings) -> AsyncIterator[tuple[Registry, SystemClock]]:
    """Open only the endpoints and keys of a store that no server uses. Raises StoreRefusedError."""
    clock = make_clock(settings)
    store = make_store(settings, clock)
    await store.open()
    try:
        vault = Vault(KeyFile(settings.secret_key, settings.store_path()).key)
        registry = Registry(store, vault, IdMaker(node=store.run_id % 2**NODE_BITS, after=await store.last_id()))
        await registry.load()
        yield registry, clock
    except VaultError as error:
        raise StoreRefusedError(str(error)) from None
    finally:
        await store.close()


def make_clock(settings: Settings) -> SystemClock:
    """Return the clock of the store's engine: the machine's for SQLite, the database's for PostgreSQL."""
    return SystemClock() if settings.store_path() is not None else SharedClock()


def make_store(settings: Settings, clock: Clock) -> Store:
    """Return the engine of the store's URL, not opened yet. Raises SettingsError for an unusable URL."""
    path = settings.store_path()
    return PostgresStore(settings.store, clock=clock) if path is None else SqliteStore(path, clock=clock)


def _browser_routes(services: Services, vault: Vault) -> tuple[list[BaseRoute], ProblemPages]:
    """Return the routes of the screens, the reference page and their assets, and the pages of problems."""
    packages = ("commerce_event.admin", "commerce_event.reference", "commerce_event.web")
    assets = Assets(*packages)
    pages = Pages(assets, *packages, handlers=handlers([*EVENT_TYPES.values()]), **admin.TEMPLATE_GLOBALS)
    routes = [
        assets.route(),
        assets.icon_route(),
        *admin.routes(services, vault, pages),
        *reference.routes(pages, services.settings, lambda: services.registry.catalogue),
    ]
    return routes, ProblemPages(pages)


def tune_collector() -> None:
    """Collect garbage less often: events make no reference cycles, and the search costs 20 % of the throughput."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def file_shares(settings: Settings) -> FileShares:
    """Raise the limit of open files, and return how many connections it and the settings allow."""
    limit = raise_file_limit()
    files = share_files(limit, max_connections=settings.max_connections, max_in_flight=settings.max_in_flight)
    if files.callers < settings.max_connections or files.in_flight < settings.max_in_flight:
        log.warning(
            "the limit of open files is too low for the settings; raise it",
            limit=limit,
            max_connections=files.callers,
            max_in_flight=files.in_flight,
        )
    return files


def raise_file_limit() -> int:
    """Raise the limit of open files and sockets as far as the system allows; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else _FILES_UNLIMITED
