"""Where a server listens, and that it does so only where that is safe."""

from __future__ import annotations

import ipaddress
import socket

from zf.errors import ZfError, printable
from zf.lean.records import Struct

_BACKLOG = 512
_MOST_PORT = 65535


class Place(Struct, frozen=True):
    """Where to listen; port 0 is any that is free."""

    host: str = "127.0.0.1"
    port: int = 0
    tls_cert: str = ""
    tls_key: str = ""
    behind_proxy: bool = False

    @property
    def is_encrypted(self) -> bool:
        """Whether it speaks TLS itself."""
        return bool(self.tls_cert)

    def refuse_unsafe(self, *, has_token: bool) -> None:
        """Raises ZfError (exit 2) for an address which others reach, unless what they send is
        encrypted on its way and there is a token to let them in by.
        """
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ZfError("--tls-cert and --tls-key go together", code="ZF820")
        if is_loopback(self.host):
            return
        if not (self.is_encrypted or self.behind_proxy):
            raise ZfError(
                f"{printable(self.host)} is reached from other machines, which takes TLS",
                code="ZF821",
                hint="give --tls-cert and --tls-key; or --behind-proxy, if a proxy that speaks TLS"
                " is all that reaches it",
            )
        if not has_token:
            raise ZfError(
                f"{printable(self.host)} is reached from other machines, and there is no token",
                code="ZF822",
                hint="make one: zf token create NAME --role operator",
            )

    def listen(self) -> socket.socket:
        """A socket there. Raises ZfError (exit 2) where there can be none."""
        if self.port > _MOST_PORT:
            raise ZfError(f"there is no port {self.port}", code="ZF823", hint="the last is 65535")
        try:
            family, *_, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            opened = socket.socket(family, socket.SOCK_STREAM)
            try:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind(address)
                opened.listen(_BACKLOG)
            except OSError:
                opened.close()
                raise
        except (OSError, OverflowError) as error:
            shown = f"{printable(self.host)} port {self.port}"
            why = getattr(error, "strerror", None) or str(error)
            raise ZfError(
                f"cannot listen on {shown}: {why}", code="ZF823", hint="choose another --port"
            ) from None
        return opened


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches what listens at the address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False
