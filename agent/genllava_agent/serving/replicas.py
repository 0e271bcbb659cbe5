"""The server as a deployment of Ray Serve: several processes with a model each, on one machine or many.

    serve run genllava_agent.serving.replicas:application replicas=2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from genllava_agent.serving.listening import CONNECTIONS
from genllava_agent.serving.settings import ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application


class ReplicaSettings(BaseModel):
    """Settings of a deployment.

    Attributes:
        replicas: processes that each load the model.
        cpus, gpus: of each, as Ray counts them.
        model, decoder, editor, dtype, device: which model, as the options of `genllava serve` that are called so.
        store: of threads. Only one that processes can share, such as `postgresql://...`, keeps a thread that comes to
            another replica with its next message; in memory, clients send their conversations whole.
        server: of each replica; limits such as `requests` are those of one. A key in the environment of the replicas is
            taken as by `genllava serve`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicas: int = Field(default=2, ge=1)
    cpus: float = Field(default=1, ge=0)
    gpus: float = Field(default=0, ge=0)
    model: str | None = None
    decoder: str | None = None
    editor: str | None = None
    dtype: str | None = None
    device: str | None = None
    store: str = ":memory:"
    server: ServerSettings = ServerSettings()


def application(options: dict[str, Any] | None = None) -> Application:
    """An application for `ray.serve.run`, and for `serve run` in a shell, which passes `name=value` as a dictionary.

    Args:
        options: of `ReplicaSettings`, values as text or as they are.

    Raises:
        pydantic.ValidationError: one is unknown, or has a value that does not fit.
    """
    from ray import serve

    settings = ReplicaSettings.model_validate(options or {})

    def build() -> FastAPI:
        """Called in the process of a replica, which loads the model then."""
        return served_by(settings)

    deployment: Any = serve.deployment(
        serve.ingress(build)(),
        name="genllava",
        num_replicas=settings.replicas,
        max_ongoing_requests=CONNECTIONS,  # Ray passes all on: it is the server that refuses, with Retry-After
        ray_actor_options={"num_cpus": settings.cpus, "num_gpus": settings.gpus},
    )
    bound: Application = deployment.bind()
    return bound


def served_by(settings: ReplicaSettings) -> FastAPI:
    """The application of one replica."""
    from genllava_agent import VisualAgent
    from genllava_agent.loading import KEYS, choose, load_pipeline
    from genllava_agent.serving.app import create_app
    from genllava_agent.serving.command import environment_keys

    given = {name: value for name in KEYS if (value := getattr(settings, name)) is not None}
    keys = (*settings.server.api_keys, *environment_keys())
    agent = VisualAgent(load_pipeline(**choose(given)), store=settings.store)
    return create_app(agent, settings.server.model_copy(update={"api_keys": keys}))
