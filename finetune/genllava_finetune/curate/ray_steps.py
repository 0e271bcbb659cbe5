"""The same steps on a Ray cluster: workers ask, each into a ledger of its own, and these are merged by their keys.

What is guaranteed: a worker writes each answer to its shard before it is used, and reads all shards before each batch.
So where a worker is killed, its batch is given to another one, and only those requests are sent twice that were under
way at the killed worker: as many as its concurrency at most. Two workers that come upon the same request at the same
time may both send it; the answer that is merged first is used. Rows are made from the merged ledger alone.

The folder must be on a disk that all workers see, and API keys in the environment of each.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from genllava_finetune.curate.asking import Ask, Asking, Item, Limits, Result, Stopped, Unanswered
from genllava_finetune.curate.ledger import Ledger, merge
from genllava_finetune.curate.models import ModelChoice, chat_model
from genllava_finetune.data.errors import DataError

SHARDS: Final = "shards"
_BATCHES: Final = 8
"""Batches for each worker, so that none is left with all the work when another is done or dies."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who asks.

    Attributes:
        choice: how each worker makes the model.
        seed: of the model.
        workers: how many.
        folder: of the curation.
    """

    choice: ModelChoice
    seed: int
    workers: int
    folder: Path


@dataclass(slots=True)
class RayAsking(Asking):
    """Asks with the workers of a Ray cluster; budgets are shared among them in equal parts.

    A worker that takes the place of one that died begins its part of the budget anew.
    """

    crew: Crew | None = None

    async def map(self, job: Callable[[Ask, Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
        """As `Asking.map`, where the items that lack answers go to the workers."""
        assert self.crew is not None
        every = list(items)
        self._merge()
        offline = Asking(None, self.ledger, self.name, self.params, self.limits)
        missing = list[Item]()
        for item in every:
            try:
                await job(offline.ask, item)
            except Unanswered:
                missing.append(item)
        reasons = self._spread(job, missing) if missing else []
        self._merge()
        if reasons:
            raise Stopped(reasons[0])
        return await Asking.map(self, job, every)

    def _spread(self, job: Callable[[Ask, Any], Awaitable[Any]], items: list[Any]) -> list[str]:
        """Have the workers answer; why some of them stopped."""
        import ray

        assert self.crew is not None
        crew = self.crew
        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        size = max(1, -(-len(items) // (crew.workers * _BATCHES)))
        rows = [{"item": pickle.dumps(item)} for item in items]
        settings = {
            "job": job,
            "crew": crew,
            "main": self.ledger.path,
            "name": self.name,
            "params": dict(self.params),
            "limits": _share(self.limits, crew.workers),
            "structured": self.structured,
        }
        dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // size)).map_batches(
            _Worker,
            batch_size=size,
            compute=ray.data.ActorPoolStrategy(size=crew.workers),
            fn_constructor_kwargs=settings,
            num_cpus=1,
        )
        reasons = list[str]()
        for done in dataset.iter_rows():
            self.sent += done["sent"]
            self.tokens += done["tokens"]
            reasons += [done["reason"]] if done["reason"] else []
            self.progress(self)
        return reasons

    def _merge(self) -> None:
        """Take the shards into the ledger, and remove them."""
        assert self.crew is not None
        shards = tuple(sorted((self.crew.folder / SHARDS).glob("*.jsonl")))
        merge(self.ledger, shards)
        for shard in shards:
            shard.unlink()
            Path(f"{shard}.lock").unlink(missing_ok=True)


class _Worker:
    """Answers batches of items, in a process of the cluster."""

    def __init__(
        self,
        job: Callable[[Ask, Any], Awaitable[Any]],
        crew: Crew,
        main: Path,
        name: str,
        params: Mapping[str, Any],
        limits: Limits,
        structured: bool,
    ) -> None:
        self._job, self._main, self._folder = job, main, crew.folder / SHARDS
        self._folder.mkdir(exist_ok=True)
        shard = self._folder / f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}.jsonl"
        self._ledger = Ledger(shard)
        self._ledger.__enter__()
        model = chat_model(crew.choice, crew.seed)
        self._asking = Asking(model, self._ledger, name, params, limits, structured)
        self._loop = asyncio.new_event_loop()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Answer a batch; what it cost, and why it was not answered whole."""
        others = sorted(path for path in self._folder.glob("*.jsonl") if path != self._ledger.path)
        self._ledger.reads = (self._main, *others)
        sent, tokens, reason = self._asking.sent, self._asking.tokens, ""
        try:
            self._ledger.refresh()
            items = [pickle.loads(item) for item in batch["item"]]
            self._loop.run_until_complete(self._asking.map(self._job, items))
        except (Stopped, DataError) as error:
            reason = str(error)
        return {
            "sent": [self._asking.sent - sent],
            "tokens": [self._asking.tokens - tokens],
            "reason": [reason],
        }


def _share(limits: Limits, workers: int) -> Limits:
    """The limits of one of several workers."""

    def part(whole: int | None) -> int | None:
        return None if whole is None else max(1, whole // workers)

    return replace(limits, max_requests=part(limits.max_requests), max_tokens=part(limits.max_tokens))
