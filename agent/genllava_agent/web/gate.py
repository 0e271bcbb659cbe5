"""What every request passes before the page: who may come in, which ways are open, and what a browser may load."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genllava_agent.addresses import name_in
from genllava_agent.serving.bodies import throw_away
from genllava_agent.web.event_bodies import read_plain
from genllava_agent.web.settings import WebSettings
from genllava_agent.web.visitors import Visitors

_PAGE: Final = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/gradio_api/theme.css")
_BELOW: Final = (
    "/assets/", "/static/", "/svelte/", "/pictures/", "/uploads",
    "/gradio_api/queue/", "/gradio_api/heartbeat/", "/gradio_api/startup-events", "/gradio_api/cancel",
)  # fmt: skip
"""The ways that the page needs. Gradio has more, by which files are sent in or fetched; they are closed."""
_EVENTS: Final = "/gradio_api/queue/join"
_POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
"""What a browser may load: nothing from elsewhere, whatever the page, a library of it or a picture's words say."""
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """Lets a request in, with the owner of threads that it is from as `scope["state"]["owner"]`.

    Args:
        app: the page and the routes of pictures.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app, self._settings = app, settings
        public = urlsplit(settings.public_url or "")
        self._visitors = Visitors(settings.logins, public.scheme == "https")
        self._public = public.netloc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or tell it why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # the page has no web sockets
        headers, greeting = Headers(scope=scope), ""
        owner = self._owner(headers)
        refusal = self._refused(scope["path"], headers)
        if refusal is None and owner is None:
            if self._visitors.need_login:
                asked = {"WWW-Authenticate": 'Basic realm="GenLLaVA", charset="UTF-8"'}
                refusal = PlainTextResponse("a user and a password are needed\n", 401, asked)
            elif scope["path"] == "/":
                owner, greeting = self._visitors.greeted()
            else:
                refusal = PlainTextResponse("open the page first\n", 403)
        if refusal is None and scope["method"] == "POST" and not _has_length(headers):
            refusal = PlainTextResponse("say how long the body is: Content-Length\n", 411)
        if refusal is None and self._too_large(headers):
            await throw_away(receive)
            refusal = PlainTextResponse(self._says_too_large(), 413)
        if refusal is None and scope["path"].rstrip("/") == _EVENTS:
            plain = await read_plain(receive)
            refusal = PlainTextResponse("no event of the page names a file\n", 400) if plain is None else None
            receive = plain or receive
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["owner"] = owner

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer[name] = value
                if greeting:
                    answer.append("Set-Cookie", greeting)
            await send(message)

        await (refusal or self._app)(scope, receive, sent)

    def _owner(self, headers: Headers) -> str | None:
        if self._visitors.need_login:
            return self._visitors.logged_in(headers.get("authorization", ""))
        return self._visitors.known(headers.get("cookie", ""))

    def _refused(self, path: str, headers: Headers) -> Response | None:
        """The answer to a request that was not meant for this page: a page elsewhere can make a browser send one, also
        to a server on the reader's own machine, and by a name that it lets lead there."""
        host = headers.get("host", "")
        if self._settings.hosts is not None and name_in(host) not in self._settings.hosts:
            return PlainTextResponse("this server is not called that: see --public-url\n", 403)
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] not in (host, self._public or host):
            return PlainTextResponse("another page may not use this one\n", 403)
        if path not in _PAGE and not path.startswith(_BELOW):
            return PlainTextResponse("there is nothing here\n", 404)
        return None

    def _too_large(self, headers: Headers) -> bool:
        length = headers.get("content-length", "0")
        return length.isdecimal() and int(length) > self._settings.body_bytes

    def _says_too_large(self) -> str:
        most = self._settings.body_bytes / 1e6
        return f"the picture is too large: at most {most:g} MB may be sent here\n"


def _has_length(headers: Headers) -> bool:
    return headers.get("content-length", "").isdecimal() and "transfer-encoding" not in headers
