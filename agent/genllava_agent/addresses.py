"""Addresses that a server of the command line listens at."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def name_in(host: str) -> str | None:
    """The name in what a request says as its host, without the port; None where that is no address."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
