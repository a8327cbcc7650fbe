"""Who can reach an address, and who can listen on the way there."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    return host == "localhost" or (is_numeric(host) and ipaddress.ip_address(host).is_loopback)


def is_numeric(host: str) -> bool:
    """Whether it is an address in numbers, of version 4 or 6."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_overheard(url: str) -> bool:
    """Whether others could read what is sent there: it leaves this machine in clear text.

    What is no address is not; whoever calls it says what is wrong.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and not is_loopback(parts.hostname or "localhost")
