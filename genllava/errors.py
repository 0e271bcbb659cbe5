"""Everything this package raises on purpose; catching `GenLlavaError` catches all of it."""

from __future__ import annotations


class GenLlavaError(Exception):
    """Base of the package's errors."""


class ImageRejected(GenLlavaError):
    """A picture that was not let in; `reason` says why, in words that are safe to show.

    Attributes:
        reason: the message.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidRequest(GenLlavaError):
    """The call cannot be served as it was made."""


class CheckpointError(GenLlavaError):
    """Saved weights are missing, unsafe to read, or do not fit together."""


class NotEnoughMemory(GenLlavaError):
    """A model is larger than the memory that is free where it should go. Nothing was loaded."""


class ModelReplyError(GenLlavaError):
    """The language model called a tool in a way that cannot be carried out, and did so again after it was told."""


class NonFiniteError(GenLlavaError):
    """A computation gave NaN or infinity, so there is no picture and no answer to show."""


class Cancelled(GenLlavaError):
    """The caller asked to stop."""
