"""What the server trusts: the names it is called by, its proxies, and the users they vouch for."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any, Self

from zf.lean.records import Struct, replace
from zf.server.place import Place

_LOOPBACK = ("127.0.0.1", "::1")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Policy(Struct, frozen=True):
    """`hosts` are the names it may be called by, without ports, besides those of the loopback.

    `secure` says that browsers reach it by HTTPS, through a proxy that is at one of the `proxies`
    or directly. A header called `user_header` names the user of a request that comes from one of
    the `header_from` addresses; that user has `user_role`.
    """

    port: int
    hosts: tuple[str, ...] = ()
    secure: bool = False
    behind_proxy: bool = False
    proxies: tuple[str, ...] = _LOOPBACK
    user_header: str = ""
    header_from: tuple[str, ...] = ()
    user_role: str = "viewer"

    @classmethod
    def said(cls, server: Mapping[str, Any], also: Collection[str], place: Place) -> Self:
        """What the `server` of zf.yaml says, and these names, for what listens at this place."""
        return cls(
            port=0,
            hosts=(*server.get("hosts", ()), *also),
            secure=place.is_encrypted or place.behind_proxy,
            behind_proxy=place.behind_proxy,
            proxies=tuple(server.get("trusted_proxies", _LOOPBACK)),
            user_header=server.get("trusted_user_header", ""),
            header_from=tuple(server.get("trusted_user_from", ())),
            user_role=server.get("trusted_user_role", "viewer"),
        )

    def at(self, port: int, hosts: tuple[str, ...]) -> Self:
        """The same for a server that listens on this port, by these names."""
        return replace(self, port=port, hosts=hosts)

    def knows(self, host: str) -> bool:
        """Whether the `Host` of a request is a name of this server. That a name leads here is not
        enough: that of a stranger's page can be made to (DNS rebinding).
        """
        name, port = _split(host.lower())
        if port not in self._ports():
            return False
        return name in self.hosts or name in _LOOPBACK_NAMES

    def _ports(self) -> set[str]:
        own = {str(self.port)}
        # A proxy is called at its own port, and the usual one is not written.
        return own | {"", "80", "443"} if self.behind_proxy else own | self._usual()

    def _usual(self) -> set[str]:
        return {""} if self.port == (443 if self.secure else 80) else set()

    def is_own(self, origin: str, host: str) -> bool:
        """Whether an `Origin` is that of the pages under this `Host`."""
        return origin.lower() == f"{'https' if self.secure else 'http'}://{host.lower()}"

    @property
    def cookie(self) -> str:
        """The name of the session's cookie: cookies do not tell ports apart."""
        return "__Host-zf-session" if self.secure else f"zf-session-{self.port}"


def _split(host: str) -> tuple[str, str]:
    """`name:port`, `[::1]:port` or either alone."""
    if host.startswith("["):
        name, bracket, port = host.partition("]")
        return name + bracket, port.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def is_among(address: str, listed: Collection[str]) -> bool:
    """Whether an address is one of these, or in one of these networks (10.0.0.0/8)."""
    try:
        here = ipaddress.ip_address(address)
        return any(here in ipaddress.ip_network(each, strict=False) for each in listed)
    except ValueError:
        return False
