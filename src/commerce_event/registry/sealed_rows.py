"""Convert endpoints to stored rows and back. The secrets and static headers of an endpoint are encrypted in its row."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from commerce_event.core import ids
from commerce_event.core.model import Endpoint
from commerce_event.core.vault import Vault, VaultError, parse_key
from commerce_event.store.model import EndpointRow

_COLUMNS: Final = frozenset({"id", "client_id", "revision", "created_ms", "updated_ms", "deleted_ms"})
_SEALED_FIELDS: Final = frozenset({"headers", "secrets"})

log = structlog.get_logger(__name__)


def check_secret_key(rows: Sequence[EndpointRow], secret_key: str) -> None:
    """Raise VaultError when some rows hold secrets and the key opens none of them."""
    open_rows(rows, Vault(parse_key(secret_key)), at_least_one=True)


def seal_row(endpoint: Endpoint, vault: Vault) -> EndpointRow:
    """Return the row of an endpoint."""
    fields = msgspec.to_builtins(endpoint)
    sealed = {name: fields.pop(name) for name in _SEALED_FIELDS}
    config = {name: value for name, value in fields.items() if name not in _COLUMNS}
    return EndpointRow(
        **{name: fields[name] for name in _COLUMNS},
        config=msgspec.json.encode(config),
        sealed=vault.seal(msgspec.json.encode(sealed), _context(endpoint.id)),
    )


def open_row(row: EndpointRow, vault: Vault) -> Endpoint:
    """Return the endpoint of a row.

    Raises VaultError when its secrets cannot be decrypted, MsgspecError when its JSON is no endpoint.
    """
    sealed = msgspec.json.decode(vault.open(row.sealed, _context(row.id))) if row.sealed else {}
    return _endpoint(row, sealed)


def open_rows(rows: Sequence[EndpointRow], vault: Vault, *, at_least_one: bool) -> dict[int, Endpoint]:
    """Return the endpoints of rows by id. A damaged row does not affect the others.

    An endpoint whose secrets cannot be decrypted has none: its events are kept, and sent once it has a new secret.
    An endpoint that cannot be read at all is switched off, with the reason ``unreadable``.
    With ``at_least_one``, raises VaultError when rows hold secrets and none can be opened: the key is wrong.
    """
    endpoints: dict[int, Endpoint] = {}
    failure: VaultError | None = None
    opened = 0
    for row in rows:
        try:
            endpoints[row.id] = open_row(row, vault)
            opened += 1
        except VaultError as error:
            failure = error
            log.error(
                "an endpoint's secrets and headers cannot be decrypted: set new ones",
                endpoint=ids.encode("end", row.id),
            )
            try:
                endpoints[row.id] = _endpoint(row, {})
            except msgspec.MsgspecError:
                endpoints[row.id] = _unreadable(row)
        except msgspec.MsgspecError:
            endpoints[row.id] = _unreadable(row)
    if failure is not None and at_least_one and not opened:
        raise failure
    return endpoints


def _endpoint(row: EndpointRow, sealed: Mapping[str, Any]) -> Endpoint:
    return msgspec.convert({**msgspec.json.decode(row.config), **sealed, **_columns(row)}, Endpoint)


def _unreadable(row: EndpointRow) -> Endpoint:
    """Return an endpoint that is switched off, to be shown in place of one that cannot be read."""
    log.error("an endpoint cannot be read: delete it and create it again", endpoint=ids.encode("end", row.id))
    return Endpoint(**_columns(row), url="", event_types=(), enabled=False, disabled_reason="unreadable")


def _columns(row: EndpointRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _COLUMNS}


def _context(endpoint_id: int) -> bytes:
    return b"endpoint:%d" % endpoint_id
