"""What this service may reach over the network: addresses are resolved, checked, and then held to.

A name that is public today may point into the hospital's own network tomorrow, or between the check and the call (DNS
rebinding). So each connection is made to an address that was checked for that very connection, under its own name for
TLS. Behind an outbound proxy (HTTPS_PROXY) it is the proxy that resolves names, and must do the refusing.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import NameResolutionError
from urllib3.util import Retry

from careplan.errors import BadRequest, UpstreamError
from careplan.fhir import json

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

PORTS = {"http": 80, "https": 443}
# Networks of IPv6 that carry an IPv4 address in their last 32 bits: https://www.rfc-editor.org/rfc/rfc6052
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def resolved(host: str, port: int) -> list[str]:
    """The addresses of *host*, as this machine finds them. Raises socket.gaierror when there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(f"{host!r} is no host name") from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@dataclass(frozen=True)
class Reach:
    """Which addresses may be called: public ones, and what is listed here.

    *hosts* are names (or literal addresses) that may be anywhere; *networks* are private ranges that any name may be
    in. *resolve* gives the addresses of a host and a port.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    resolve: Resolve = field(default=resolved, compare=False)

    def including(self, url: str) -> Reach:
        """The same, and the host of *url* where that is an address in figures or this machine by name.

        Who writes an address in figures into the settings has said where it is. A name says nothing of the kind.
        """
        host = _host(url)
        literal = host == "localhost" or address_of(host) is not None
        return replace(self, hosts=self.hosts | {host}) if literal else self

    def addresses(self, host: str, port: int) -> list[str]:
        """Where to connect to for *host*. Raises UpstreamError when any of its addresses is not public nor listed."""
        name = host.lower().strip("[]").rstrip(".")
        found = self.resolve(name, port)
        if name not in self.hosts and not all(self._allows(each) for each in found):
            raise UpstreamError(
                f"{name} is at a private address, which is not called unless CAREPLAN_PRIVATE_HOSTS lists it."
            )
        return list(found)

    def _allows(self, text: str) -> bool:
        address = address_of(text)
        if address is None:
            return False
        return is_public(address) or any(address in network for network in self.networks)


def reach_of(listed: Sequence[str]) -> Reach:
    """Read host names, addresses and networks such as `10.2.0.0/16`. Raises ValueError for what is none of these."""
    networks, hosts = [], []
    for each in listed:
        if "/" in each:
            networks.append(ipaddress.ip_network(each))
        elif not each or (any(character in each for character in " :@?#") and address_of(each) is None):
            raise ValueError(f"{each!r} is no host name, address or network")
        else:
            hosts.append(each.lower().strip("[]"))
    return Reach(frozenset(hosts), tuple(networks))


def address_of(text: str) -> Address | None:
    """*text* as an address, if it is one; an IPv4 address in the clothes of IPv6 as what it is."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if inner is None and address in _TRANSLATED:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could have this address."""
    return address.is_global and not address.is_multicast


class NoCredentials(AuthBase):
    """Nothing is added. Without it, requests looks for a password in the user's .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def guarded_session(reach: Reach, *, retry: Retry | None = None, auth: AuthBase | None = None) -> requests.Session:
    """A session that calls nothing outside of *reach*, verifies TLS, and takes no password from .netrc."""
    session = requests.Session()
    session.auth = auth or NoCredentials()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _GuardedAdapter(reach, retry))
    return session


def ask_json(
    session: requests.Session,
    url: str,
    *,
    form: dict[str, str] | None = None,
    password: tuple[str, str] | None = None,
    timeout: float = 10,
    limit: int = 1 << 20,
) -> tuple[int, dict[str, Any]]:
    """GET *url*, or POST *form* to it: the status, and the JSON object that came, empty where none did.

    For the documents and tokens of sign-in; *password* is a name with one, for HTTP Basic. Follows no redirect, reads
    no more than *limit* bytes, and takes no longer than *timeout* seconds over it. Raises UpstreamError, which names
    the host and nothing else.
    """
    host = _host(url)
    deadline = time.monotonic() + timeout
    try:
        with session.request(
            "POST" if form else "GET",
            url,
            data=form,
            auth=password,
            headers={"Accept": "application/json"},
            timeout=timeout,
            stream=True,
            allow_redirects=False,
        ) as response:
            body = b""
            while chunk := response.raw.read1(1 << 16, decode_content=True):
                body += chunk
                if len(body) > limit or time.monotonic() > deadline:
                    raise UpstreamError(f"{host} sent too much, or took too long over it.")
            return response.status_code, _object(body)
    except (requests.RequestException, TransportError, OSError) as error:
        raise UpstreamError(f"{host} does not answer as it should ({type(error).__name__}).") from error


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except BadRequest:
        return {}
    return value if isinstance(value, dict) else {}


class _GuardedAdapter(HTTPAdapter):
    """Makes its connections with `_Guarded`."""

    def __init__(self, reach: Reach, retry: Retry | None) -> None:
        self._reach = reach
        super().__init__(max_retries=retry or 0, pool_maxsize=16)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        plain = type("_Plain", (_Guarded,), {"reach": self._reach})
        tls = type("_Tls", (_Guarded, HTTPSConnection), {"reach": self._reach})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }


class _Guarded(HTTPConnection):
    """Connects to the first checked address that answers."""

    reach: Reach

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            *others, last = self.reach.addresses(name, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(name, self, error) from error
        try:
            for address in others:
                self._dns_host = address
                try:
                    return super()._new_conn()
                except TransportError:
                    continue
            self._dns_host = last
            return super()._new_conn()
        finally:
            self._dns_host = name  # the name is what TLS verifies, and what goes into the Host header


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def is_below(url: str, base: str) -> bool:
    """Whether *url* is *base*, or on its origin and below its path, by no trick of dots, slashes or user names."""
    try:
        there, here = urlsplit(url), urlsplit(base)
        same = _origin(there) == _origin(here) and "@" not in there.netloc
    except ValueError:
        return False
    path = unquote(there.path)
    below = f"{path.rstrip('/')}/".startswith(f"{unquote(here.path).rstrip('/')}/")
    return same and below and ".." not in path.split("/") and "\\" not in path


def is_safe_for_secrets(url: str) -> bool:
    """Whether what is sent to *url* can be read by nobody on the way: https, or this machine."""
    parts = urlsplit(url)
    address = address_of(parts.hostname or "")
    here = parts.hostname == "localhost" or (address is not None and address.is_loopback)
    return parts.scheme == "https" or (parts.scheme == "http" and here)


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme)
