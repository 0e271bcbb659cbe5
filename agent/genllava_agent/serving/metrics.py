"""What Prometheus is told of a server; labels are names of ours, and never what a request says."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The figures of one server.

    Attributes:
        requests: answered, by route and status.
        seconds: from the first byte to the last, by route.
        at_work: requests that are being answered or wait.
        batches: how many pictures were drawn at once.
        waiting: pictures that wait to be drawn.
        tokens: of chats, `kind` prompt or completion.
        pictures: made.
    """

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        labels = ["route"]
        self.requests = Counter("genllava_requests", "Requests answered.", [*labels, "status"], registry=own)
        self.seconds = Histogram("genllava_request_seconds", "Time taken.", labels, buckets=_SECONDS, registry=own)
        self.at_work = Gauge("genllava_requests_at_work", "Requests at work or waiting.", registry=own)
        sizes = (1, 2, 4, 8, 16, 32)
        self.batches = Histogram("genllava_batch_size", "Pictures drawn at once.", buckets=sizes, registry=own)
        self.waiting = Gauge("genllava_pictures_waiting", "Pictures that wait to be drawn.", registry=own)
        self.tokens = Counter("genllava_tokens", "Tokens of chats.", ["kind"], registry=own)
        self.pictures = Counter("genllava_pictures", "Pictures made.", registry=own)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
