"""What a server is told: who may use it, and how much at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from genllava.images import MAX_PIXELS
from genllava_agent.messages import MAX_IMAGES

Address = Annotated[str, AfterValidator(lambda url: url.rstrip("/"))]


class ServerSettings(BaseModel):
    """Settings of a server.

    Attributes:
        model: what clients call the model.
        public_url: how clients reach it; links to pictures begin with this.
        api_keys: what clients may say as `Authorization: Bearer KEY`; none: everybody may use it.
        hosts: the only names by which requests may call this server; None: any.
        origins: web pages that may use it from a browser, by origin (`https://chat.example.org`), or `*`.
        requests: at work or waiting at once; one more is told to come again.
        batch: pictures that the model draws at once.
        body_bytes: of a request.
        bodies_bytes: of all requests that are being answered.
        pixels: of all pictures of a request.
        pictures: that a request brings, and that it makes.
        messages: of a conversation.
        tokens: that the language model reads and writes for a request.
        seconds: for a request, from its first byte to its last.
        threads: conversations that are kept in memory; the one that was used least lately goes first.
        kept_bytes: of pictures that links lead to; those that were used least lately go first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "genllava"
    public_url: Address = "http://127.0.0.1:8000"
    api_keys: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), repr=False)
    hosts: tuple[str, ...] | None = None
    origins: tuple[Address, ...] = ()
    requests: int = Field(default=64, ge=1)
    batch: int = Field(default=8, ge=1)
    body_bytes: int = Field(default=32_000_000, ge=1)
    bodies_bytes: int = Field(default=256_000_000, ge=1)
    pixels: int = Field(default=16_000_000, ge=1, le=MAX_PIXELS)
    pictures: int = Field(default=10, ge=1, le=MAX_IMAGES)
    messages: int = Field(default=1000, ge=1)
    tokens: int = Field(default=20_000, ge=1)
    seconds: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    threads: int = Field(default=1000, ge=1)
    kept_bytes: int = Field(default=256_000_000, ge=1)
