"""The pictures that clients of a server have at hand: by name, apart from those of others, and bounded in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from genllava.errors import InvalidRequest

_SHOWN: Final = 20
"""Names that are told to whoever named a picture that is not there."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept; what was not used for longest is let go first.

    Attributes:
        pictures: of one session.
        session_bytes: of pixels of one session.
        sessions: at once.
        all_bytes: of pixels of all sessions.
        idle_seconds: after which a session that nobody used is let go.
    """

    pictures: int = 64
    session_bytes: int = 512_000_000
    sessions: int = 256
    all_bytes: int = 2_000_000_000
    idle_seconds: float = 3600.0


class PictureSession:
    """The pictures of one client: image_1, image_2 and so on."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pictures: OrderedDict[str, Image.Image] = OrderedDict()
        self._made = 0

    def put(self, image: Image.Image) -> str:
        """Keep a picture; its name."""
        self._made += 1
        name = f"image_{self._made}"
        self._pictures[name] = image
        while len(self._pictures) > self._limits.pictures or self.bytes > self._limits.session_bytes:
            if len(self._pictures) == 1:
                break
            self._pictures.popitem(last=False)
        return name

    def get(self, name: str) -> Image.Image:
        """The picture of that name.

        Raises:
            InvalidRequest: there is none, or none any more.
        """
        if name not in self._pictures:
            newest = [each for number in range(self._made, 0, -1) if (each := f"image_{number}") in self._pictures]
            there = f"there are {', '.join(reversed(newest[:_SHOWN]))}" if newest else "send one with put_image"
            if name in {f"image_{number}" for number in range(1, self._made + 1)}:
                raise InvalidRequest(f"{name} was let go to make room: send it again; {there}")
            raise InvalidRequest(f"no picture {name[:64]!r}; {there}")
        self._pictures.move_to_end(name)
        return self._pictures[name]

    @property
    def bytes(self) -> int:
        """Of the pixels of all its pictures."""
        return sum(each.width * each.height * len(each.getbands()) for each in self._pictures.values())


class PictureSessions:
    """The sessions of all clients, by a key that only its client has."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._sessions: OrderedDict[str, tuple[PictureSession, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, key: str) -> PictureSession | None:
        """The session of that key; None where there is none, or none any more."""
        self._expire()
        if key not in self._sessions:
            return None
        return self.open(key)

    def open(self, key: str) -> PictureSession:
        """The session of that key; a new one, where there is none."""
        self._expire()
        session, _ = self._sessions.pop(key, (PictureSession(self._limits), 0.0))
        self._sessions[key] = session, self._clock()
        while len(self._sessions) > 1 and self._too_much():
            self._sessions.popitem(last=False)
        return session

    def _expire(self) -> None:
        oldest = self._clock() - self._limits.idle_seconds
        for key in [key for key, (_, used) in self._sessions.items() if used < oldest]:
            del self._sessions[key]

    def _too_much(self) -> bool:
        pixels = sum(session.bytes for session, _ in self._sessions.values())
        return len(self._sessions) > self._limits.sessions or pixels > self._limits.all_bytes
