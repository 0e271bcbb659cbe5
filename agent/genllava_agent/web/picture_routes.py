"""The routes of pictures: those of a thread are had, and those that are to be asked about are sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from genllava.errors import GenLlavaError, ImageRejected
from genllava_agent.errors import UnknownImage
from genllava_agent.web.conversation_view import PICTURES
from genllava_tools.picture_files import png_bytes

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent
    from genllava_agent.web.own_threads import OwnThreads
    from genllava_agent.web.uploads import Uploads

UPLOADS: Final = "/uploads"
_A_DAY: Final = {"Cache-Control": "private, max-age=86400, immutable"}


def routes(agent: VisualAgent, threads: OwnThreads, uploads: Uploads, max_bytes: int) -> list[Route]:
    """The routes.

    Args:
        agent: whose pictures they are.
        threads: by their owner, whom the gate has put into the request's state.
        uploads: takes pictures in.
        max_bytes: of one.
    """

    def found(owner: str, thread: str, image: str) -> bytes:
        named = threads.get(owner, thread)
        records = {picture.id: picture.record for picture in named.images.values()}
        if (unfinished := named.unfinished) is not None:
            records.update({record.id: record for record in unfinished.images})
        if image not in records:
            raise UnknownImage.among(image, records)
        return png_bytes(agent.store.artifacts(named.name).layer(records[image]))

    async def picture(request: Request) -> Response:
        where = request.path_params
        try:
            data = await asyncio.to_thread(found, request.state.owner, where["thread"], where["image"])
        except GenLlavaError as error:
            return PlainTextResponse(f"{error}\n", 404)
        return Response(data, media_type="image/png", headers=_A_DAY)

    async def upload(request: Request) -> Response:
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > max_bytes:  # the gate has looked at what the request says of its length
                return PlainTextResponse("the picture is too large\n", 413)
        try:
            kept = await asyncio.to_thread(uploads.put, request.state.owner, bytes(data))
        except ImageRejected as error:
            return PlainTextResponse(f"{error}\n", 422)
        return JSONResponse({"token": kept.token, "width": kept.width, "height": kept.height})

    return [
        Route(f"{PICTURES}/{{thread}}/{{image}}", picture, methods=["GET"]),
        Route(UPLOADS, upload, methods=["POST"]),
    ]
