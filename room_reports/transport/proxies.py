"""Which proxy a request goes by."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


class Proxies:
    """Which proxy a URL is reached by: decided once per host, where requests would decide for every request."""

    def __init__(self, proxies: Mapping[str, str]) -> None:
        self._proxies = {scheme: url for scheme, url in proxies.items() if scheme != "no_proxy"}
        self._direct = [entry.strip().lower() for entry in proxies.get("no_proxy", "").split(",") if entry.strip()]
        self._known: dict[str, dict[str, str]] = {}

    def of(self, url: str) -> dict[str, str]:
        """The proxies for a URL, by scheme."""
        if not self._proxies:
            return self._proxies
        host = urlsplit(url).hostname or ""
        if host not in self._known:
            self._known[host] = {} if self._is_direct(host) else self._proxies
        return self._known[host]

    def _is_direct(self, host: str) -> bool:
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            # A name is covered by itself and by the domains above it, however their dots are written.
            names = {entry.removeprefix("*").removeprefix(".") for entry in self._direct}
            return host == "localhost" or "*" in self._direct or any(f".{host}".endswith(f".{name}") for name in names)
        return ip.is_loopback or "*" in self._direct or any(_covers(entry, ip) for entry in self._direct)


def _covers(entry: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ip in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
