"""Networks that deliveries may not be sent to, as data.

Facts from IANA's special-purpose address registries as of ``REGISTRY_DATE``, from its multicast registries, and from
the documentation of the cloud providers. The first entry that contains an address names the reason. When the registries
change, change this table and ``tests/data/iana_special_addresses.csv`` together.
"""

from typing import Final

REGISTRY_DATE: Final = "2025-10-09"

METADATA: Final = "cloud metadata"
NEVER_ALLOWED: Final = frozenset({"unspecified", "multicast", "broadcast"})

# Most of IPv4 is public, so the list has the refused networks.
IPV4_REFUSED: Final = (
    ("169.254.169.254/32", METADATA),  # AWS, Azure, Google Cloud, OCI, DigitalOcean and others
    ("169.254.170.2/32", METADATA),  # AWS container credentials
    ("169.254.170.23/32", METADATA),  # AWS pod identity
    ("100.100.100.200/32", METADATA),  # Alibaba Cloud
    ("168.63.129.16/32", METADATA),  # Azure host agent: a public number that never leaves the host
    ("192.0.0.192/32", METADATA),  # OCI classic
    ("0.0.0.0/32", "unspecified"),  # connecting to it reaches this host
    ("255.255.255.255/32", "broadcast"),
    ("127.0.0.0/8", "loopback"),
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("169.254.0.0/16", "link-local"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("0.0.0.0/8", "this network"),
    ("192.0.0.0/24", "protocol assignment"),
    ("192.0.2.0/24", "documentation"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.175.48.0/24", "AS112"),
    ("192.52.193.0/24", "multicast tunnel"),  # AMT relays
    ("192.88.99.0/24", "6to4 relay"),
    ("198.18.0.0/15", "benchmarking"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
)

# Only global unicast is public in IPv6, except the listed networks.
IPV6_PUBLIC: Final = "2000::/3"
IPV6_OUTSIDE: Final = "not global unicast"  # the reason when no entry names a better one

IPV6_REFUSED: Final = (
    ("fd00:ec2::254/128", METADATA),  # AWS
    ("fd20:ce::254/128", METADATA),  # Google Cloud
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64"),
    ("100::/64", "discard"),
    ("100:0:0:1::/64", "dummy prefix"),
    ("2001::/23", "protocol assignment"),  # Teredo, benchmarking, AMT, AS112, ORCHID, drone ids
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "AS112"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)

# Networks whose addresses contain an IPv4 address, by reason, and the number of bits after it. When an operator allows
# such a network, the IPv4 address must be allowed as well. (IPv4-mapped addresses are always treated as IPv4.)
IPV4_INSIDE: Final = {"IPv4-compatible": 0, "IPv4-translated": 0, "NAT64": 0, "6to4": 80}
