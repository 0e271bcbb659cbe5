"""Who a request is from: a login, or the browser that it comes from, by a cookie that only this server reads."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Final

COOKIE: Final = "genllava_visitor"
_YEAR: Final = 365 * 24 * 3600


class Visitors:
    """Tells people apart.

    Args:
        logins: `user:password`, of those who may come in; none: whoever has the cookie is somebody.
        secure: the cookie goes over HTTPS alone.
    """

    def __init__(self, logins: Sequence[str], secure: bool = False) -> None:
        self._ending = "; Secure" if secure else ""
        self._logins = [_digest(login.encode()) for login in logins]

    @property
    def need_login(self) -> bool:
        """Whether a user and a password are asked for."""
        return bool(self._logins)

    def logged_in(self, authorization: str) -> str | None:
        """The owner of threads that a header `Authorization: Basic ...` stands for; None where it is no login. Every
        login is looked at, and for the same time, whatever was given."""
        scheme, _, given = authorization.partition(" ")
        try:
            login = base64.b64decode(given.strip(), validate=True)
        except binascii.Error:
            return None
        digest = _digest(login)
        if sum(hmac.compare_digest(digest, each) for each in self._logins) and scheme.lower() == "basic":
            return _owner("user", login.partition(b":")[0])
        return None

    def known(self, cookies: str) -> str | None:
        """The owner of threads that a header `Cookie` stands for; None where it has none of ours."""
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(cookies)
        except CookieError:
            return None
        found = jar.get(COOKIE)
        return None if found is None or not found.value else _owner("browser", found.value.encode())

    def greeted(self) -> tuple[str, str]:
        """A new owner, and the header `Set-Cookie` by which the browser will be known."""
        value = secrets.token_urlsafe(32)
        cookie = f"{COOKIE}={value}; Max-Age={_YEAR}; Path=/; HttpOnly; SameSite=Lax{self._ending}"
        return _owner("browser", value.encode()), cookie


def _owner(kind: str, name: bytes) -> str:
    """What stands for a person in names of threads: a hash, whatever they are called."""
    return hashlib.sha256(kind.encode() + b"/" + name).hexdigest()[:20]


def _digest(login: bytes) -> bytes:
    return hashlib.sha256(login).digest()
