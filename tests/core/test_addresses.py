"""Addresses: nothing that is not public is dialled, public neighbours are, and the operator can open exactly what is meant."""

import csv
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.core import address_table as table
from commerce_event.core.addresses import AddressPolicy

DEFAULT = AddressPolicy()
REGISTRY = Path(__file__).parent.parent / "data" / "iana_special_addresses.csv"
METADATA = [text.partition("/")[0] for text, why in (*table.IPV4_REFUSED, *table.IPV6_REFUSED) if why == table.METADATA]
NEVER = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "239.255.255.250", "::", "ff02::1"]

# Public addresses next to refused networks, and some that look alike
# fmt: off
NEIGHBOURS = [
    "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.31.195.255", "192.31.197.0",
    "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0",
    "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
    "2000::", "2001:200::", "2001:db7:ffff::1", "2001:db9::", "2003::", "2606:4700::1111", "2620:4f:7fff::1", "2620:4f:8001::",
    "3ffe:ffff::", "3fff:1000::", "::ffff:8.8.8.8", "::ffff:c633:6500",
]
# fmt: on


def special_blocks() -> list[tuple[IPv4Network | IPv6Network, bool]]:
    with REGISTRY.open() as file:
        return [(ip_network(row["block"]), row["globally_reachable"] == "yes") for row in csv.DictReader(file)]


def ends(block: IPv4Network | IPv6Network) -> list[str]:
    middle = int(block.network_address) + block.num_addresses // 2
    return [str(block[0]), str(type(block[0])(middle)), str(block[-1])]


# The table


@pytest.mark.parametrize("block", [block for block, reachable in special_blocks() if not reachable], ids=str)
def test_special_network_is_refused_from_end_to_end(block: IPv4Network | IPv6Network) -> None:
    assert all(DEFAULT.refusal(address) for address in ends(block))


@pytest.mark.parametrize(("network", "reason"), [*table.IPV4_REFUSED, *table.IPV6_REFUSED])
def test_listed_network_is_refused_with_a_reason(network: str, reason: str) -> None:
    assert DEFAULT.refusal(ends(ip_network(network))[1]) == reason


def test_every_refused_network_is_in_the_registry_or_listed_as_ours() -> None:
    registered = {str(block) for block, _ in special_blocks()}
    metadata = {text for text, why in (*table.IPV4_REFUSED, *table.IPV6_REFUSED) if why == table.METADATA}
    deprecated = {"::/96", "::ffff:0:0:0/96", "fec0::/10"}
    listed = {text for text, _ in (*table.IPV4_REFUSED, *table.IPV6_REFUSED)}
    assert listed - registered == metadata | deprecated


@pytest.mark.parametrize("address", NEIGHBOURS)
def test_public_neighbour_may_be_dialled(address: str) -> None:
    assert DEFAULT.refusal(address) is None


@pytest.mark.parametrize(
    ("address", "reason"), [("127.0.0.1", "loopback"), ("10.1.2.3", "private"), ("::1", "loopback")]
)
def test_reason_is_the_plain_word(address: str, reason: str) -> None:
    assert DEFAULT.refusal(address) == reason


@pytest.mark.parametrize("address", ["4000::1", "1::1", "8000::", "fe00::1", "f000::1"])
def test_ipv6_outside_global_unicast_is_refused(address: str) -> None:
    assert DEFAULT.refusal(address) == table.IPV6_OUTSIDE


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "127.1",
        "0x7f.0.0.1",
        "017.0.0.1",
        "2130706433",
        "1.2.3.4.5",
        "256.1.1.1",
        "8.8.8.8 ",
        "8.8.8.8/32",
        "８.8.8.8",
        "[2606:4700::1111]",
        "2606:4700::1111::",
        "2606:4700::1111\n",
        "2606:4700::zzzz",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    assert DEFAULT.refusal(address) == "not an address"


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1111%1", "::ffff:8.8.8.8%lo"])
def test_zone_id_is_refused_on_any_address(address: str) -> None:
    assert AddressPolicy(["::/0", "0.0.0.0/0"]).refusal(address) == "zone id"


@given(st.integers(0, 2**32 - 1))
def test_mapped_address_is_judged_as_the_ipv4_address_it_is(number: int) -> None:
    address = IPv4Address(number)
    assert DEFAULT.refusal(f"::ffff:{address}") == DEFAULT.refusal(str(address))


@st.composite
def addresses(draw: st.DrawFn) -> IPv4Address | IPv6Address:
    """Any address, mostly near an edge of a listed network."""
    network = ip_network(draw(st.sampled_from([text for text, _ in (*table.IPV4_REFUSED, *table.IPV6_REFUSED)])))
    edge = int(draw(st.sampled_from([network[0], network[-1]]))) + draw(st.integers(-300, 300))
    top = 2**network.max_prefixlen - 1
    number = draw(st.sampled_from([min(max(edge, 0), top), draw(st.integers(0, top))]))
    return IPv4Address(number) if network.version == 4 else IPv6Address(number)


@given(addresses())
@settings(max_examples=120)
def test_never_more_lenient_than_the_standard_library(address: IPv4Address | IPv6Address) -> None:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if not (mapped or address).is_global:
        assert DEFAULT.refusal(str(address)) is not None


# What the operator allows


@given(addresses())
def test_allowing_a_network_opens_nothing_outside_it(address: IPv4Address | IPv6Address) -> None:
    allowed = ip_network("10.20.0.0/16" if address.version == 4 else "fd12:3456::/32")
    if address not in allowed:
        assert AddressPolicy([allowed]).refusal(str(address)) == DEFAULT.refusal(str(address))


@pytest.mark.parametrize(
    ("allowed", "address"),
    [
        ("127.0.0.0/8", "127.0.0.1"),
        ("10.20.0.0/16", "10.20.255.255"),
        ("10.20.0.0/16", "::ffff:10.20.0.1"),
        ("192.168.1.7", "192.168.1.7"),
        (" 172.16.0.0/12 ", "172.31.0.1"),
        ("::1/128", "::1"),
        ("fd12:3456::/32", "fd12:3456::9"),
        ("169.254.0.0/16", "169.254.1.1"),
        (ip_network("127.0.0.0/8"), "127.0.0.1"),
    ],
)
def test_allowed_network_may_be_dialled(allowed: str | IPv4Network, address: str) -> None:
    assert DEFAULT.refusal(address) is not None
    assert AddressPolicy([allowed]).refusal(address) is None


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("allow", [["0.0.0.0/0", "::/0"], ["169.254.169.254/31", "fd00:ec2::254/127", "100.64.0.0/10"]])
def test_metadata_address_stays_refused_when_its_network_is_allowed(address: str, allow: list[str]) -> None:
    assert AddressPolicy(allow).refusal(address) == table.METADATA


@pytest.mark.parametrize("address", METADATA)
def test_metadata_address_is_allowed_by_its_own_name_only(address: str) -> None:
    policy = AddressPolicy([address])
    assert [other for other in METADATA if policy.refusal(other) is None] == [address]


@pytest.mark.parametrize("address", NEVER)
def test_multicast_broadcast_and_unspecified_are_never_allowed(address: str) -> None:
    assert AddressPolicy(["0.0.0.0/0", "::/0", address]).refusal(address) in table.NEVER_ALLOWED


@pytest.mark.parametrize(
    "template",
    ["64:ff9b::{}", "64:ff9b:1::{}", "::{}", "::ffff:0:{}"],
    ids=["NAT64", "local NAT64", "compatible", "SIIT"],
)
def test_address_inside_an_allowed_translation_network_must_pass_too(template: str) -> None:
    policy = AddressPolicy(["64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"])
    assert policy.refusal(template.format("8.8.8.8")) is None
    assert policy.refusal(template.format("10.0.0.1")) == "private"
    assert policy.refusal(template.format("169.254.169.254")) == table.METADATA


def test_address_inside_allowed_6to4_must_pass_too() -> None:
    policy = AddressPolicy(["2002::/16"])
    assert policy.refusal("2002:808:808::1") is None
    assert policy.refusal("2002:7f00:1::1") == "loopback"


def test_policy_tells_whether_anything_is_allowed() -> None:
    assert not DEFAULT.allows_any
    assert AddressPolicy(["10.0.0.0/8"]).allows_any


@pytest.mark.parametrize(
    ("entry", "remedy"),
    [
        ("ten", "write one such as 10.0.0.0/8"),
        ("", "write one such as 10.0.0.0/8"),
        ("10.0.0.0/33", "write one such as 10.0.0.0/8"),
        ("10.0.0.0-10.0.0.9", "write one such as 10.0.0.0/8"),
        ("fe80::%eth0/64", "write one such as 10.0.0.0/8"),
        ("10.1.2.3/8", "write 10.0.0.0/8 or the address alone"),
        ("fd12::1/32", "write fd12::/32 or the address alone"),
        ("::ffff:10.0.0.0/104", "write it as IPv4"),
    ],
)
def test_entry_that_is_no_network_is_refused_with_the_remedy(entry: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        AddressPolicy(["10.0.0.0/8", entry])


def test_registry_addresses_parse() -> None:
    assert all(ip_address(address) for address in [*NEIGHBOURS, *METADATA, *NEVER])
