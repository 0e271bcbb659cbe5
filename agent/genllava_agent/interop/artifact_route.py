"""The pictures of threads over HTTP, as one more route of LangGraph's server: `/artifacts/THREAD/SHA256.png`.

Nothing else is served. A picture is found by whoever knows its thread and its hash, neither of which can be guessed;
where the server has authorisation hooks, set `"http": {"enable_custom_route_auth": true}` to ask them too.
"""

from __future__ import annotations

import asyncio
import os
from functools import cache
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genllava.errors import GenLlavaError
from genllava_agent.interop import ROUTE
from genllava_agent.stores import open_store
from genllava_agent.stores.base import Store

_TYPES: Final = {"png": "image/png", "jpg": "image/jpeg"}
_FOREVER: Final = {"Cache-Control": "private, max-age=31536000, immutable"}


async def artifact(request: Request) -> Response:
    """A picture of a thread, or 404."""
    thread, name = request.path_params["thread"], request.path_params["name"]
    key, _, kind = name.partition(".")
    if kind not in _TYPES:
        raise HTTPException(404)
    try:
        data = await asyncio.to_thread(lambda: _store().artifacts(thread).get(key, kind))
    except GenLlavaError:
        raise HTTPException(404) from None
    return Response(data, media_type=_TYPES[kind], headers=_FOREVER)


@cache
def _store() -> Store:
    return open_store(os.environ.get("GENLLAVA_ARTIFACTS") or None)


app = Starlette(routes=[Route(f"{ROUTE}/{{thread}}/{{name}}", artifact)])
