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
        max_bytes: of one person's; those that came first go first.
        owners: people whose pictures are kept; those of whoever sent none for longest go first.
    """

    def __init__(self, max_bytes: int, owners: int = 64) -> None:
        self._max_bytes, self._most = max_bytes, owners
        self._kept: OrderedDict[str, OrderedDict[str, Upload]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, owner: str, data: bytes) -> Upload:
        """Let a picture in.

        Raises:
            ImageRejected: it is none, or cannot be read; the message says why.
        """
        image = admitted(data, with_transparency)
        upload = Upload(secrets.token_urlsafe(24), data, image.width, image.height)
        with self._lock:
            own = self._kept.setdefault(owner, OrderedDict())
            own[upload.token] = upload
            self._kept.move_to_end(owner)
            while len(own) > 1 and sum(len(each.data) for each in own.values()) > self._max_bytes:
                own.popitem(last=False)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
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
