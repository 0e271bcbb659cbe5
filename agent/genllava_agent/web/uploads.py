"""Pictures that were sent to the page and are not asked about yet: let in through the one door, and kept in memory."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from genllava.errors import ImageRejected
from genllava_agent.admission import admitted, with_transparency


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture that was let in.

    Attributes:
        token: by which its owner may ask about it.
        data: its file, as it came.
        width, height: in pixels, upright.
    """

    token: str
    data: bytes = field(repr=False)
    width: int
    height: int


class Uploads:
    """Pictures of several people.

    Args:
        max_bytes: of all of them; where there are more, whoever has most loses the one that came first.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[str, OrderedDict[str, Upload]] = {}
        self._lock = threading.Lock()

    def put(self, owner: str, data: bytes) -> Upload:
        """Let a picture in.

        Raises:
            ImageRejected: it is none, or cannot be read; the message says why.
        """
        image = admitted(data, with_transparency)
        upload = Upload(secrets.token_urlsafe(24), data, image.width, image.height)
        with self._lock:
            self._kept.setdefault(owner, OrderedDict())[upload.token] = upload
            sizes = {each: sum(len(one.data) for one in own.values()) for each, own in self._kept.items()}
            while sum(sizes.values()) > self._max_bytes:
                most = max(sizes, key=lambda each: sizes[each])
                sizes[most] -= len(self._kept[most].popitem(last=False)[1].data)
            self._kept = {each: own for each, own in self._kept.items() if own}
        return upload

    def get(self, owner: str, token: str) -> Upload:
        """A picture of this person.

        Raises:
            ImageRejected: it is not here any more.
        """
        with self._lock:
            found = self._kept.get(owner, OrderedDict()).get(token)
        if found is None:
            raise ImageRejected("a picture that was attached is not kept any more: attach it again")
        return found

    def drop(self, owner: str, token: str) -> None:
        """Forget a picture, once it was asked about."""
        with self._lock:
            self._kept.get(owner, OrderedDict()).pop(token, None)
