"""Who may use the server: keys, the name by which it is called, and the pages that call it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from genllava_agent.addresses import name_in
from genllava_agent.serving.errors import ApiError
from genllava_agent.serving.settings import ServerSettings


class Access:
    """Checks requests.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._keys: Sequence[bytes] = [_digest(key.encode()) for key in settings.api_keys]
        self._hosts = settings.hosts
        self._origins = settings.origins

    def check_sender(self, headers: Mapping[str, str]) -> None:
        """See that the request was meant for this server: a web page elsewhere can make a browser send one, also to a
        server on the reader's own machine, and by a name that it lets lead there.

        Raises:
            ApiError: it was not.
        """
        if self._hosts is not None and name_in(headers.get("host", "")) not in self._hosts:
            raise ApiError(403, "this server is not called that: see --public-url", "host_not_allowed")
        origin = headers.get("origin")
        if origin is not None and "*" not in self._origins and origin not in self._origins:
            raise ApiError(403, "this page may not use the server: see --cors-origin", "origin_not_allowed")

    def check_key(self, headers: Mapping[str, str]) -> str:
        """Who sends the request: the digest of their key; nobody in particular where there are no keys. Every key is
        looked at, and for the same time, whatever was given.

        Raises:
            ApiError: no key, or a wrong one.
        """
        if not self._keys:
            return ""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        digest = _digest(given.strip().encode("latin-1"))  # as headers are read: the bytes that were sent
        if sum(hmac.compare_digest(digest, key) for key in self._keys) and scheme.lower() == "bearer":
            return digest.hex()
        missing = "no API key: send it as Authorization: Bearer KEY"
        said = "the API key is wrong" if given else missing
        raise ApiError(401, said, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
