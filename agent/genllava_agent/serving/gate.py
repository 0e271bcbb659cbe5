"""What every request passes before its route and after it: limits, faults that nobody foresaw, figures."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genllava_agent.serving.access import Access
from genllava_agent.serving.bodies import throw_away
from genllava_agent.serving.errors import ApiError, api_error
from genllava_agent.serving.metrics import Metrics
from genllava_agent.serving.places import Body, Places
from genllava_agent.serving.settings import ServerSettings

_log: Final = logging.getLogger(__name__)
_GUARDED: Final = "/v1/"
_GRACE: Final = 10.0
"""Seconds beyond those of a request: a turn that comes to its limit ends with what it has."""


class Watch:
    """The outermost: a request has so much time, and whatever happens, the client is told in the form that it knows.

    Args:
        app: all else.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._seconds = settings.seconds + _GRACE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.monotonic()

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as clock:
                await self._app(scope, receive, sent)
        except Exception as fault:
            late = isinstance(fault, TimeoutError) and clock.expired()
            said = f"this took longer than {self._seconds:g} seconds: ask for less, or try again later"
            error = ApiError(504, said, "timeout", kind="server_error") if late else api_error(fault)
            if not status:  # else all that can be done is to end the answer
                await error.response()(scope, receive, sent)
        finally:
            route, seconds = getattr(scope.get("route"), "path", "none"), time.monotonic() - began
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            _log.info("%s %s %.3f s", route, status, seconds)


class Gate:
    """Lets requests in that may come in, as many and as large as there is room for.

    Args:
        app: the routes.
    """

    def __init__(
        self, app: ASGIApp, settings: ServerSettings, access: Access, places: Places, metrics: Metrics
    ) -> None:
        self._app, self._settings, self._access, self._places = app, settings, access, places
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or tell it why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._access.check_sender(headers)
            if scope["path"].startswith(_GUARDED):
                state: MutableMapping[str, Any] = scope.setdefault("state", {})
                state["sender"] = self._access.check_key(headers)
            if scope["method"] != "POST":
                await self._app(scope, receive, send)
                return
            length = headers.get("content-length", "0")
            if length.isdecimal() and int(length) > self._settings.body_bytes:
                await throw_away(receive)
                raise self._too_large()
            with self._places.one() as body:
                self._metrics.at_work.set(self._places.taken)
                await self._app(scope, self._counted(receive, body), send)
        except ApiError as error:
            await error.response()(scope, receive, send)
        finally:
            self._metrics.at_work.set(self._places.taken)

    def _counted(self, receive: Receive, body: Body) -> Receive:
        """What comes in of a body, as long as it may."""

        async def counted() -> Message:
            message = await receive()
            body.grow(len(message.get("body", b"")))
            if body.size > self._settings.body_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> ApiError:
        most = self._settings.body_bytes
        return ApiError(413, f"the request has more than {most:,} bytes: send smaller pictures", "request_too_large")
