"""What the training data is made of, counted on a sample and saved beside the checkpoint."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Final

from genllava_finetune.worlds.shapes.mixture import sample_training_dialogue
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld

SAMPLE: Final = 10_000


def data_statistics(seed: int, dialogues: int = SAMPLE, withhold: Withheld = NOTHING) -> dict[str, Any]:
    """Shares of the request families, steps and lengths in `dialogues` dialogues of the training mixture."""
    rng = random.Random(f"statistics:{seed}")
    families: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    turns: Counter[int] = Counter()
    pictures: Counter[int] = Counter()
    forms: set[str] = set()
    null = 0
    for _ in range(dialogues):
        dialogue = sample_training_dialogue(rng, withhold=withhold)
        if dialogue is None:
            null += 1
            continue
        turns[len(dialogue.turns)] += 1
        pictures[sum(len(turn.images) for turn in dialogue.turns)] += 1
        for turn in dialogue.turns:
            families[turn.family] += 1
            forms.add(turn.form)
            tasks.update(step.task for step in turn.steps)
    return {
        "dialogues": dialogues,
        "null_drawings": null,
        "turns_per_dialogue": _sorted(turns),
        "user_pictures_per_dialogue": _sorted(pictures),
        "steps_by_task": _sorted(tasks),
        "turns_by_family": _sorted(families),
        "distinct_sentence_forms": len(forms),
    }


def _sorted(counter: Counter[Any]) -> dict[str, int]:
    return {str(key): counter[key] for key in sorted(counter, key=str)}
