"""The server as an ASGI application, for `uvicorn` and for programs that serve it themselves.

    app = create_app(VisualAgent(decider=chat_model), ServerSettings(public_url="https://pictures.example.org"))
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

from genllava.errors import GenLlavaError
from genllava_agent.serving.access import Access
from genllava_agent.serving.chat import chat_routes
from genllava_agent.serving.errors import ApiError, api_error, not_as_asked
from genllava_agent.serving.gate import Gate, Watch
from genllava_agent.serving.images import image_routes
from genllava_agent.serving.kept_pictures import ROUTE
from genllava_agent.serving.metrics import TYPE, Metrics
from genllava_agent.serving.places import Places
from genllava_agent.serving.service import Service
from genllava_agent.serving.settings import ServerSettings

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent

_READ: Final = ["GET", "HEAD"]
"""How those read who want to know first whether something is there, and what kind of thing."""
_FOREVER: Final = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


class Model(BaseModel):
    """A model that is served."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "genllava"


class Models(BaseModel):
    """All of them."""

    object: str = "list"
    data: list[Model]


def create_app(agent: VisualAgent, settings: ServerSettings | None = None) -> FastAPI:
    """An application that answers OpenAI's clients with this agent and its model; loads the model.

    Args:
        agent: its store keeps the threads of clients that name one.
        settings: who may use it, and how much at once.

    Raises:
        CheckpointError, NotEnoughMemory: the model cannot be loaded.
        InvalidRequest: the agent waits for approval, which nobody could give here.
    """
    from genllava import __version__

    settings, metrics = settings or ServerSettings(), Metrics()
    service = Service.of(agent, settings, metrics)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.batcher.close()

    app = FastAPI(title="GenLLaVA", version=__version__, docs_url=None, redoc_url=None, lifespan=running)
    access, places = Access(settings), Places(settings.requests, settings.bodies_bytes)
    app.add_middleware(Gate, settings=settings, access=access, places=places, metrics=metrics)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    app.add_middleware(Watch, settings=settings, metrics=metrics)  # the last one is the outermost
    app.add_exception_handler(RequestValidationError, _not_as_asked)
    app.add_exception_handler(HTTPException, _failed)
    app.add_exception_handler(GenLlavaError, _failed)
    app.include_router(chat_routes(service))
    app.include_router(image_routes(service))
    _add_own_routes(app, service)
    return app


def _add_own_routes(app: FastAPI, service: Service) -> None:
    """What is asked about the server itself, and its pictures."""

    @app.get("/v1/models")
    async def models() -> Models:
        return Models(data=[Model(id=service.settings.model)])

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Model:
        service.check_model(name)
        return Model(id=service.settings.model)

    @app.api_route("/health", methods=_READ)
    async def health() -> dict[str, str]:
        if not service.batcher.alive:
            raise ApiError(503, "nothing is drawn any more: start the server again", "unavailable", kind="server_error")
        return {"status": "ok", "model": service.settings.model}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=TYPE)

    @app.api_route(ROUTE + "/{name}", methods=_READ)
    async def file(name: str) -> Response:
        png = service.kept.get(name)
        if png is None:
            raise ApiError(404, "there is no such picture, or it is no longer kept: ask for it again", "not_found")
        return Response(png, media_type="image/png", headers=_FOREVER)


async def _not_as_asked(request: Request, fault: Any) -> JSONResponse:
    return not_as_asked(fault.errors()).response()


async def _failed(request: Request, fault: Exception) -> JSONResponse:
    return api_error(fault).response()
