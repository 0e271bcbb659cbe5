"""What a protocol is: how a language model is spoken to, and what its words mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from genllava.options import CancelCheck, DrawingOptions, Seed
from genllava.pipeline_output import Drawing, Understanding
from genllava.requests import Request


class Protocol(ABC):
    """The three verbs and conversations, as one kind of language model takes them.

    A pipeline has one, named by its configuration. Requests come in batches; results come back in the same order.

    Attributes:
        name: in the configuration of a pipeline.
    """

    name: ClassVar[str]

    @abstractmethod
    def understand(
        self, requests: Sequence[Request], cancel: CancelCheck | None, sampling: dict[str, Any]
    ) -> list[Understanding]:
        """Answer in words.

        Args:
            sampling: options of transformers' `generate`, such as `max_new_tokens` and `temperature`.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
        """

    @abstractmethod
    def generate(
        self, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        """Draw new pictures; several of each request where `num_images_per_prompt` says so.

        Args:
            plan: what to draw, if it is not the request or the model's to say; one per request.

        Raises:
            InvalidRequest, Cancelled, NonFiniteError.
        """

    @abstractmethod
    def edit(
        self, requests: Sequence[Request], plan: str | Sequence[str] | None, seed: Seed, options: DrawingOptions
    ) -> list[Drawing]:
        """Change pictures, one per request; arguments and errors as for `generate`."""

    @abstractmethod
    def conversation(self) -> Any:
        """An empty conversation, in which the model decides what is done; it has `ask(text, images, seed=...)`."""

    def after_loading(self) -> None:  # noqa: B027  (most have nothing to check)
        """See that weights that were read, and depend on each other, fit.

        Raises:
            CheckpointError: they do not.
        """

    def before_saving(self) -> None:  # noqa: B027  (most have nothing to do)
        """Bring up to date what is stored and depends on other weights."""
