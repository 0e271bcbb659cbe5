"""Whole tasks of several steps through the agent, with verification and without: what it buys, and what it costs.

The cases are those of the frozen suite `tasks`: held out, and scored by the oracle; a task is right when every step of
every one of its turns is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from tqdm import tqdm

from genllava import GenLlavaPipeline
from genllava_agent import Reply, VisualAgent
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.base import Produced
from genllava_finetune.worlds.shapes.grading import score_turn
from genllava_finetune.worlds.shapes.splits import Split
from genllava_finetune.worlds.shapes.suites import Case, build_suite

CASES: Final = 200
ATTEMPTS: Final = (0, 1, 3)
"""Settings of `verify` that are compared; 0 does not look at what was drawn, and 1 draws it once."""
_TASKS: Final = {"understand": "I2T", "generate": "T2I", "edit": "I2I"}


def measure(pipeline: GenLlavaPipeline, split: Split = "test", suite: str = "tasks") -> dict[str, object]:
    """Tasks right, steps routed right, UNet rows and seconds, for every number of attempts."""
    cases = build_suite(suite, split, CASES)
    return {"cases": len(cases), **{f"verify={verify}": _run(pipeline, cases, verify) for verify in ATTEMPTS}}


def _run(pipeline: GenLlavaPipeline, cases: Sequence[Case], verify: int) -> dict[str, Any]:
    right = rows = pictures = routed = steps = 0
    unsure: dict[bool, list[bool]] = {True: [], False: []}
    by_length: dict[int, list[bool]] = {}
    began = time.monotonic()
    for case in tqdm(cases, desc=f"verify={verify}", leave=False, disable=None):
        agent = VisualAgent(pipeline, store=":memory:", verify=verify, margin=0.0)
        thread, good = agent.thread(), True
        for turn, shown in zip(case.dialogue.turns, case.pictures, strict=True):
            reply = thread(turn.user, list(shown), seed=case.seed)
            score = score_turn(turn, _produced(reply))
            for step, fine in zip(reply.steps, score.steps or [score.right], strict=False):
                if good and step.image is not None:  # what follows on a mistake cannot be right
                    unsure[fine].append(bool(step.unsure))
                good = good and fine
            good = score.right and good
            wanted = [step.task for step in turn.steps]
            chosen = [_TASKS.get(step.action, "") for step in reply.steps]
            routed += sum(want == got for want, got in zip(wanted, chosen, strict=False))
            steps += max(len(wanted), len(chosen))
            rows += sum(step.unet_rows for step in reply.steps)
            pictures += len(reply.images)
        by_length.setdefault(len(case.dialogue.turns[-1].steps), []).append(good)
        right += good
    return {
        "right": round(100 * right / len(cases), 1),
        "interval": [round(100 * bound, 1) for bound in Share(right, len(cases)).interval],
        "right_by_steps": {n: f"{sum(good)} of {len(good)}" for n, good in sorted(by_length.items())},
        "steps_routed_right": round(100 * routed / steps, 1),
        "unet_rows_per_picture": round(rows / max(pictures, 1), 2),
        "unsure_of_wrong_pictures": f"{sum(unsure[False])} of {len(unsure[False])}",
        "unsure_of_right_pictures": f"{sum(unsure[True])} of {len(unsure[True])}",
        "seconds_per_task": round((time.monotonic() - began) / len(cases), 2),
    }


def _produced(reply: Reply) -> list[Produced]:
    made = {picture.id: picture.image for picture in reply.images}
    return [
        Produced(_TASKS.get(step.action, ""), step.text or None, made.get(step.image or ""), step.plan)
        for step in reply.steps
    ]
