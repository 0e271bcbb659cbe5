"""What a web page is told: who may open it, and how much at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from genllava.images import MAX_BYTES
from genllava_agent.messages import MAX_IMAGES


class WebSettings(BaseModel):
    """Settings of a page.

    Attributes:
        model: what the page calls the model.
        logins: who may open the page, as `user:password`; none: whoever reaches it.
        public_url: how people reach it, through a proxy; None: as its host says.
        hosts: the only names by which requests may call this server; None: any.
        turns: turns that run at once; the others wait, and are told how many are before them.
        waiting: turns that wait at most; one more is refused.
        body_bytes: of a request, a picture that is uploaded included.
        pictures: that go with one request.
        upload_bytes: of all pictures that were uploaded and are not asked about yet.
        shared: everybody sees all threads of the store, and not only their own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "genllava"
    logins: tuple[Annotated[str, Field(min_length=3)], ...] = Field(default=(), repr=False)
    public_url: str | None = None
    hosts: tuple[str, ...] | None = None
    turns: int = Field(default=1, ge=1)
    waiting: int = Field(default=32, ge=1, le=1000)
    body_bytes: int = Field(default=32_000_000, ge=1, le=MAX_BYTES)
    pictures: int = Field(default=10, ge=1, le=MAX_IMAGES)
    upload_bytes: int = Field(default=512_000_000, ge=1)
    shared: bool = False

    @field_validator("logins")
    @classmethod
    def _pairs(cls, logins: tuple[str, ...]) -> tuple[str, ...]:
        for each in logins:
            user, _, password = each.partition(":")
            if not user or not password:
                raise ValueError("a login is USER:PASSWORD, and neither is empty")
        return logins
