"""A key-value cache with room behind what it holds, so that reading a token copies nothing that was read before."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.configuration_utils import PreTrainedConfig

ROOM: Final = 256
"""Positions by which buffers grow at least; beyond that by a quarter, so that a long context is seldom copied."""


@dataclass(slots=True, eq=False)
class _Buffer:
    """Room for keys and values, both [B, H, room, D], of which the first `used` positions are never written again."""

    keys: Tensor
    values: Tensor
    used: int
    lock: threading.Lock = field(default_factory=threading.Lock)


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A `DynamicLayer` that writes behind the states it holds, where that one copies them all for every token.

    Copies of a layer share their buffer until both go on from the same place: what a layer returned or holds is never
    overwritten, in whatever thread. Writing in place is not for training: gradients do not pass through it.
    """

    keys: Any
    values: Any
    _buffer: _Buffer | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """All keys and values, both [B, H, T, D], these last."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        buffer = self._buffer
        if buffer is None or not self._claim(buffer, start, end):
            buffer = self._buffer = self._enlarged(key_states, value_states, start, end)
        buffer.keys[:, :, start:end] = key_states
        buffer.values[:, :, start:end] = value_states
        self.keys, self.values = buffer.keys[:, :, :end], buffer.values[:, :, :end]
        return self.keys, self.values

    def __copy__(self) -> GrowingLayer:
        """As `copy.copy` would by itself, in a third of the time: a turn copies all layers."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def _claim(self, buffer: _Buffer, start: int, end: int) -> bool:
        """Take these positions of `buffer`, if the states held lie in it (a selection of rows does not) up to there."""
        if self.keys.untyped_storage().data_ptr() != buffer.keys.untyped_storage().data_ptr():
            return False
        if buffer.keys.is_inference() and not torch.is_inference_mode_enabled():
            return False
        with buffer.lock:
            free = buffer.used == start and end <= buffer.keys.shape[-2]
            if free:
                buffer.used = end
        return free

    def _enlarged(self, key_states: Tensor, value_states: Tensor, start: int, end: int) -> _Buffer:
        room = end + max(ROOM, end // 4)
        keys, values = (s.new_empty(*s.shape[:2], room, s.shape[-1]) for s in (key_states, value_states))
        if start:
            keys[:, :, :start] = self.keys
            values[:, :, :start] = self.values
        return _Buffer(keys, values, end)


def new_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache for a language model of this text config; layers with a sliding window keep their own kind."""
    cache = DynamicCache(config=config)
    growing: Any = GrowingLayer
    cache.layers = [growing() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
