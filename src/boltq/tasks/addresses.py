"""Which addresses a task may connect to for whoever submits jobs: public ones, and those that a person has opened."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from boltq.settings import Settings, listed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Reach:
    """The ports, and the networks and hosts beyond the public ones, that may be connected to."""

    ports: frozenset[int] = frozenset({80, 443})
    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings open."""
        networks: list[Network] = []
        hosts: set[str] = set()
        for name in listed(settings.fetch_allow):
            try:
                networks.append(ip_network(name, strict=False))
            except ValueError:
                hosts.add(name.lower())
        return cls(frozenset(int(port) for port in listed(settings.fetch_ports)), tuple(networks), frozenset(hosts))

    def refusal(self, host: str, address: str) -> str | None:
        """Why nobody may connect to this address of that host; None when it is fine."""
        found = ip_address(address)
        meant = _embedded(found) or found
        if host.lower() in self.hosts or any(one in network for one in (found, meant) for network in self.networks):
            return None
        return not_public(found)


def not_public(address: Address) -> str | None:
    """What an address is, where it is not one of the public network; None where it is.

    It is judged by tables of our own: what `ipaddress` calls global differs between versions of Python, and it does not
    look into addresses that carry another one.
    """
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        return not_public(inner) if inner else _first(address, _CLOSED_6) or _beyond(address)
    return _first(address, _CLOSED_4)


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address to which packets for an IPv6 address really go, where the standard prefixes say so."""
    for prefix, shift in _CARRIERS:
        if address in prefix:
            return IPv4Address((int(address) >> shift) & 0xFFFF_FFFF)
    return None


def _first(address: Address, closed: list[tuple[Network, str]]) -> str | None:
    return next((kind for network, kind in closed if address in network), None)


def _beyond(address: IPv6Address) -> str | None:
    return None if address in _GLOBAL_6 else "a reserved address"


_CARRIERS = [
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
    (IPv6Network("::/96"), 0),  # IPv4-compatible; and :: and ::1, which come out as 0.0.0.0 and 0.0.0.1
]

_GLOBAL_6 = IPv6Network("2000::/3")  # all that has ever been given out

_CLOSED_6: list[tuple[Network, str]] = [
    (IPv6Network("64:ff9b:1::/48"), "a local translation prefix, behind which any IPv4 address may lie"),
    (IPv6Network("fc00::/7"), "a private address"),
    (IPv6Network("fe80::/10"), "a link-local address"),
    (IPv6Network("fec0::/10"), "a private address"),
    (IPv6Network("ff00::/8"), "a multicast address"),
    (IPv6Network("2001::/32"), "a Teredo tunnel, behind which any IPv4 address may lie"),
    (IPv6Network("2001::/23"), "a reserved address"),
    (IPv6Network("2001:db8::/32"), "an address for documentation"),
    (IPv6Network("3fff::/20"), "an address for documentation"),
]

_CLOSED_4: list[tuple[Network, str]] = [
    (IPv4Network("0.0.0.0/8"), "an address of this host"),
    (IPv4Network("127.0.0.0/8"), "an address of this host"),
    (IPv4Network("10.0.0.0/8"), "a private address"),
    (IPv4Network("172.16.0.0/12"), "a private address"),
    (IPv4Network("192.168.0.0/16"), "a private address"),
    (IPv4Network("100.64.0.0/10"), "a private address of a provider"),
    (IPv4Network("169.254.0.0/16"), "a link-local address"),  # among them the metadata services of clouds
    (IPv4Network("168.63.129.16/32"), "a metadata service"),  # public by its number, but Azure's own
    (IPv4Network("192.0.0.0/24"), "a reserved address"),
    (IPv4Network("192.0.2.0/24"), "an address for documentation"),
    (IPv4Network("192.88.99.0/24"), "a reserved address"),
    (IPv4Network("198.18.0.0/15"), "an address for measurements"),
    (IPv4Network("198.51.100.0/24"), "an address for documentation"),
    (IPv4Network("203.0.113.0/24"), "an address for documentation"),
    (IPv4Network("224.0.0.0/4"), "a multicast address"),
    (IPv4Network("240.0.0.0/4"), "a reserved address"),
]
