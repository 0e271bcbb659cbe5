"""The same steps on a Ray cluster: workers ask, each into a ledger of its own, and these are merged by their keys.

What is guaranteed: a worker writes each answer to its shard before it is used, and reads all shards before each batch.
So where a worker is killed, its batch is given to another one, and only those requests are sent twice that were under
way at the killed worker: as many as its concurrency at most. Two workers that come upon the same request at the same
time may both send it; the answer that is merged first is used. Rows are made from the merged ledger alone.

The folder must be on a disk that all workers see, and API keys in the environment of each.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from genllava_finetune.curate.asking import Ask, Asking, BudgetUsed, Item, Limits, Result, Stopped, Unanswered
from genllava_finetune.curate.ledger import Ledger, merge
from genllava_finetune.curate.models import ModelChoice, chat_model
from genllava_finetune.data.errors import DataError

SHARDS: Final = "shards"
_LAST_WORDS: Final = 30.0
_BUDGET: Final = "budget"
"""Why a worker stopped whose part of the budget is used up."""
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
    """Asks with the workers of a Ray cluster; what is left of a budget is shared among them in equal parts.

    A worker that takes the place of one that died begins its part of the budget anew.
    """

    crew: Crew | None = None

    async def map(self, job: Callable[[Ask, Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
        """As `Asking.map`, where the items that lack answers go to the workers."""
        assert self.crew is not None
        every = list(items)
        self._merge(wait=_LAST_WORDS)  # what a run before this one left, whose workers end soon after it
        offline = Asking(None, self.ledger, self.name, self.params, self.limits)
        missing = list[Item]()
        for item in every:
            try:
                await job(offline.ask, item)
            except Unanswered:
                missing.append(item)
        if missing:
            try:
                self._spread(job, missing)
            finally:
                self._merge()
        return await Asking.map(self, job, every)

    def _spread(self, job: Callable[[Ask, Any], Awaitable[Any]], items: list[Any]) -> None:
        """Have the workers answer.

        Raises:
            Stopped: some of them stopped before all was answered.
        """
        import ray

        assert self.crew is not None
        left = self._left(self.limits.max_requests, self.sent), self._left(self.limits.max_tokens, self.tokens)
        workers = min(self.crew.workers, *(number for number in left if number is not None), len(items))
        if workers < 1:
            raise self.budget_used()
        shares = [None if number is None else number // workers for number in left]
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        size = max(1, -(-len(items) // (workers * _BATCHES)))
        rows = [{"item": pickle.dumps(item)} for item in items]
        settings = {
            "job": job,
            "crew": self.crew,
            "main": self.ledger.path,
            "name": self.name,
            "params": dict(self.params),
            "limits": replace(self.limits, max_requests=shares[0], max_tokens=shares[1]),
            "structured": self.structured,
        }
        dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // size)).map_batches(
            _Worker,
            batch_size=size,
            compute=ray.data.ActorPoolStrategy(size=workers),
            fn_constructor_kwargs=settings,
            num_cpus=1,
        )
        reasons = list[str]()
        try:
            for done in dataset.iter_rows():
                self.sent += done["sent"]
                self.tokens += done["tokens"]
                reasons += [done["reason"]] if done["reason"] else []
                self.progress(self)
        except ray.exceptions.RayError as error:
            raise Stopped(f"the workers cannot go on: {error}") from error
        if reasons:
            raise self.budget_used() if reasons[0] == _BUDGET else Stopped(reasons[0])

    @staticmethod
    def _left(limit: int | None, used: int) -> int | None:
        return None if limit is None else max(0, limit - used)

    def _merge(self, wait: float = 0.0) -> None:
        """Take the shards into the ledger, and remove them.

        Args:
            wait: seconds at most for each that a worker is still writing.
        """
        from filelock import FileLock, Timeout

        assert self.crew is not None
        shards = tuple(sorted((self.crew.folder / SHARDS).glob("*.jsonl")))
        for shard in shards if wait else ():
            with suppress(Timeout), FileLock(f"{shard}.lock", timeout=wait):
                pass
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
        except BudgetUsed:
            reason = _BUDGET
        except (Stopped, DataError) as error:
            reason = str(error)
        return {
            "sent": [self._asking.sent - sent],
            "tokens": [self._asking.tokens - tokens],
            "reason": [reason],
        }
