"""`python -m genllava_finetune.train` with FSDP among CPU processes.

accelerate shards weights on accelerators only; here processes on CPUs are taken for such, with gloo between them.
"""

from __future__ import annotations

from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

from genllava_finetune.train.command import main

_begin = PartialState.__init__


def begin(self: Any, *arguments: Any, **options: Any) -> None:
    _begin(self, *arguments, **options)
    if PartialState._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


if __name__ == "__main__":
    PartialState.__init__ = begin  # type: ignore[method-assign]
    main()
