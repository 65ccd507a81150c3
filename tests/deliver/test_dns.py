"""The system's resolver with a real name server: every kind of failure has its error code."""

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import msgspec
import pytest

DOMAIN = "shop.example"
ADDRESS = "127.53.0.53"  # the name server's; port 53, for the C library asks no other
PATIENCE_S = 30.0
NO_ERROR, SERVER_FAILED, NO_SUCH_NAME = 0, 2, 3
A, CNAME = 1, 5
MANY = 1_000
QUESTIONS_MAX = 10
PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.1"

# Resolves each name in turn in a mount namespace whose resolv.conf names the test's server.
CHILD = """
import asyncio, json, sys
from commerce_event.core.addresses import AddressPolicy
from commerce_event.deliver import resolver as module

async def main():
    module._CACHE_S = 0.0
    resolver = module.Resolver(AddressPolicy())
    for host in sys.argv[2:]:
        try:
            print(json.dumps(await resolver.addresses(host, 443, float(sys.argv[1]))))
        except module.TransportError as error:
            print(json.dumps([error.code, error.is_internal, str(error)]))
    resolver.close()

asyncio.run(main())
"""


class NameServer(asyncio.DatagramProtocol):
    """Answers by the first label of a name."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self.reply(data, udp=True)
        if answer:
            self._transport.sendto(answer, addr)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the question that comes again when its answer was too long for one packet."""
        for _ in range(QUESTIONS_MAX):  # both families are asked for on one connection
            size = await reader.read(2)
            if not size:
                break
            answer = self.reply(await reader.readexactly(struct.unpack("!H", size)[0]), udp=False)
            writer.write(struct.pack("!H", len(answer)) + answer)
            await writer.drain()
        writer.close()

    def reply(self, query: bytes, *, udp: bool) -> bytes:
        labels, end = [], 12
        while size := query[end]:
            labels.append(query[end + 1 : end + 1 + size].decode())
            end += size + 1
        question, kind = query[12 : end + 5], struct.unpack("!H", query[end + 1 : end + 3])[0]
        host = ".".join(labels)
        if kind == A:
            self.asked.append(host)
        if labels[0] == "silent":
            return b""
        code = {"missing": NO_SUCH_NAME, "broken": SERVER_FAILED}.get(labels[0], NO_ERROR)
        cut = udp and labels[0] in {"many", "cut"}
        records = [] if cut or kind != A else self._records(labels[0])
        flags = 0x8180 | code | (0x0200 if cut else 0)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return head + question + b"".join(records)

    def _records(self, label: str) -> list[bytes]:
        if label == "circle":
            return [_record(CNAME, b"\xc0\x0c")]  # the name itself
        turned = self.asked.count(f"turning.{DOMAIN}") > 1
        addresses = {
            "good": [PUBLIC],
            "cut": [PUBLIC],
            "mixed": [PUBLIC, PRIVATE],
            "turning": [PRIVATE if turned else PUBLIC],
            "many": [f"93.184.{number // 250}.{number % 250 + 1}" for number in range(MANY)],
        }
        return [_record(A, socket.inet_aton(address)) for address in addresses.get(label, [])]


def _record(kind: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


def mount_namespaces_work() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0


@pytest.fixture
async def names() -> AsyncIterator[NameServer]:
    if not mount_namespaces_work():
        pytest.skip("a name server of our own needs root: port 53 and a mount namespace")
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(NameServer, local_addr=(ADDRESS, 53))
    server = await asyncio.start_server(made.serve_tcp, ADDRESS, 53)
    yield made
    transport.close()
    server.close()


async def resolved(folder: Path, *labels: str, timeout_s: float = PATIENCE_S) -> list[list[object]]:
    """Return what the product's resolver, in a process of its own, makes of each name."""
    conf = folder / "resolv.conf"
    conf.write_text(f"nameserver {ADDRESS}\noptions timeout:2 attempts:1\n")
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "--propagation", "private", "sh", "-ec"),
        'mount --bind "$0" /etc/resolv.conf; exec "$@"',
        *(str(conf), sys.executable, "-c", CHILD, str(timeout_s)),
        *(f"{label}.{DOMAIN}" for label in labels),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return [msgspec.json.decode(line) for line in output.splitlines()]


async def test_dns_answers_without_address_have_their_codes(names: NameServer, tmp_path: Path) -> None:
    found = await resolved(tmp_path, "missing", "empty", "circle", "broken")
    assert [answer[:2] for answer in found] == [
        ["dns_not_found", False],
        ["dns_not_found", False],
        ["dns_not_found", False],  # an alias of itself: the C library gives up with no address
        ["dns_failed", False],
    ]
    assert f"broken.{DOMAIN}" in names.asked


async def test_dns_with_silent_name_server_times_out_alone(names: NameServer, tmp_path: Path) -> None:
    found = await resolved(tmp_path, "silent", "good", timeout_s=0.5)
    assert found[0][:2] == ["dns_timeout", False]
    assert found[1] == [PUBLIC]


async def test_dns_with_truncated_and_long_answers_returns_at_most_32_addresses(
    names: NameServer, tmp_path: Path
) -> None:
    cut, many = await resolved(tmp_path, "cut", "many")
    assert cut == [PUBLIC]
    assert len(many) == len(set(many)) == 32


async def test_dns_with_public_and_private_address_is_blocked(names: NameServer, tmp_path: Path) -> None:
    (found,) = await resolved(tmp_path, "mixed")
    assert found[:2] == ["blocked_address", False]
    assert PRIVATE not in str(found)


async def test_dns_with_name_that_turns_private_is_blocked_at_next_lookup(names: NameServer, tmp_path: Path) -> None:
    first, second = await resolved(tmp_path, "turning", "turning")
    assert first == [PUBLIC]
    assert second[:2] == ["blocked_address", False]
