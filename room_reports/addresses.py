"""Where requests may go: a host is resolved once, and its addresses are public or they are refused.

A destination's URL is chosen by an operator, but what its name resolves to is chosen by whoever runs its DNS; a request
to an address inside the network the service runs in (a metadata service, a database) would be made with our access.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from config.settings import Settings
from room_reports.errors import Transient

SocketAddress = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]
"""What a socket of the family connects to; the first element of the second part is the IP address."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_START_TIMEOUT = 5.0

log = structlog.get_logger(__name__)
_T = TypeVar("_T")


def private_destination_problems(settings: Settings) -> list[str]:
    """Which URLs of the settings lead into a private network, each as "NAME: what to do"; for the doors, at start.

    A name that cannot be resolved is only warned about: DNS may be down for the moment, or a proxy may be the one that
    resolves. The check is made again at every connect (`room_reports.transport`), except behind a proxy.
    """
    if settings.allow_private_destinations:
        return []
    problems = []
    for name, url in settings.outgoing_urls.items():
        try:
            private = resolves_privately(urlsplit(url).hostname or "")
        except Transient as failure:
            log.warning("destination cannot be resolved yet", setting=name, reason=failure.reason)
            continue
        if private:
            problems.append(
                f"{name}: leads to a private, loopback or link-local address; if that is meant, set "
                "ALLOW_PRIVATE_DESTINATIONS=1"
            )
    return problems


def resolves_privately(host: str) -> bool:
    """Whether a host name or IP address leads, in any of its addresses, to one that is not public.

    Raises `Transient` when it cannot be resolved.
    """
    return not all(is_public(address[0]) for _, address in resolve(host, 443, timeout=_START_TIMEOUT))


def resolve(host: str, port: int, *, timeout: float) -> list[SocketAddress]:
    """All addresses of a host name or IP address. Raises `Transient` with the reason `dns` or `timeout`."""

    def look_up() -> list[SocketAddress]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # The third kind of address that the types allow is what a Python without IPv6 makes of an IPv6 one.
        return [(family, address) for family, _, _, _, address in found if isinstance(address[0], str)]

    try:
        return look_up() if _is_ip(host) else within(timeout, look_up)
    except TimeoutError:
        raise Transient("timeout", f"no answer from DNS for {host}") from None
    except (OSError, UnicodeError):
        raise Transient("dns", f"cannot resolve {host}") from None


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """The result of a call that nothing can interrupt. Raises `TimeoutError` when it takes longer.

    The resolver of the C library has time limits of its own, up to half a minute, and takes no other; so it is left
    behind in a thread, which ends when the resolver does.
    """
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="resolver", daemon=True).start()
    return future.result(timeout=seconds)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether an IP address is on the public Internet; one that carries an IPv4 address is judged by that."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour
        if carried is None and ip in _NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)
