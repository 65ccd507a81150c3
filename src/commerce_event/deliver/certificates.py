"""Certificates of receivers whose TLS failed: a second handshake reads what the first one refused.

It accepts any certificate, goes to the address that was dialled, sends nothing after the handshake, and happens at most
once in ten seconds for each endpoint.
"""

import asyncio
import ssl
from contextlib import suppress
from datetime import datetime
from typing import Final, cast

import structlog
from cryptography import x509

from commerce_event.core.model import Certificate
from commerce_event.core.receiver_text import without_controls
from commerce_event.core.urls import Target

_GAP_S: Final = 10.0  # for which the certificate of an endpoint is kept
_HANDSHAKE_S: Final = 1.0
_KEPT_MAX: Final = 1_000  # endpoints
_READING_MAX: Final = 16  # handshakes at the same time
_NAMES_MAX: Final = 20
_NAME_MAX: Final = 253  # characters of one
_TEXT_MAX: Final = 200  # characters of the subject and of the issuer

log = structlog.get_logger(__name__)


class Certificates:
    """Reads the certificates of receivers, and keeps each for ten seconds."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[float, tuple[str, str, int], Certificate | None]] = {}  # until when, and of which
        self._reading = 0
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE  # nothing is sent to it

    async def read(self, endpoint_id: int, target: Target, address: str, deadline: float) -> Certificate | None:
        """Return the certificate that an address shows for a target; None when there is none, or no time (loop time).

        ``address`` must be one that is allowed for deliveries.
        """
        now = asyncio.get_running_loop().time()
        where = (target.host, address, target.port)
        kept = self._kept.get(endpoint_id)
        if kept is not None and now < kept[0]:
            return kept[2] if kept[1] == where else None
        ends = min(deadline, now + _HANDSHAKE_S)
        if ends <= now or self._reading >= _READING_MAX:
            return None
        if len(self._kept) >= _KEPT_MAX:
            self._kept.clear()
        self._kept[endpoint_id] = (now + _GAP_S, where, None)  # also when it fails
        self._reading += 1
        try:
            found = await self._shown(target, address, ends)
        finally:
            self._reading -= 1
        self._kept[endpoint_id] = (now + _GAP_S, where, found)
        return found

    async def _shown(self, target: Target, address: str, deadline: float) -> Certificate | None:
        transport: asyncio.BaseTransport | None = None
        try:
            async with asyncio.timeout_at(deadline):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, address, target.port, ssl=self._tls, server_hostname=target.host
                )
            shown = cast("ssl.SSLObject", transport.get_extra_info("ssl_object")).getpeercert(binary_form=True)
        except OSError:
            return None
        finally:
            if transport is not None:
                cast("asyncio.Transport", transport).abort()
        return None if shown is None else parse_certificate(shown)


def parse_certificate(der: bytes) -> Certificate | None:
    """Return the facts of a certificate, with long texts cut; None for one that cannot be read."""
    try:
        found = x509.load_der_x509_certificate(der)
        names: list[str] = []
        with suppress(x509.ExtensionNotFound):
            listed = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = [str(each.value) for each in listed if isinstance(each, x509.DNSName | x509.IPAddress)]
        return Certificate(
            subject=_text(found.subject),
            issuer=_text(found.issuer),
            names=tuple(without_controls(name)[:_NAME_MAX] for name in names[:_NAMES_MAX]),
            not_before_ms=_ms(found.not_valid_before_utc),
            not_after_ms=_ms(found.not_valid_after_utc),
        )
    except Exception:  # a receiver may show anything, and it is only read to be described
        log.info("a receiver's certificate cannot be read")
        return None


def _text(name: x509.Name) -> str:
    return without_controls(name.rfc4514_string())[:_TEXT_MAX]


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
