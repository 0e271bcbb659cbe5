"""Sentences that make sense only after an earlier turn: taking a change back, asking the same of something else."""

from __future__ import annotations

from typing import Final

from genllava_finetune.shapes.language.grammar import Intent

UNDO: Final = Intent(
    "edit.undo",
    [
        "(undo|revert|reverse|take back) (that|this|it)",
        "(undo|revert|reverse|take back|cancel) (the|your) last (change|edit|step)",
        "(please|can you|could you|ok,|now|just) (undo|revert|take back) (that|this|the last change|your last edit)",
        "(no|oh no|wait|hmm|sorry|oops), (undo|revert|take back) (that|it|the last change)",
        "(go|step|move) back (one step|to the version before|to what it was|to how it was before|to how it looked)",
        "i (liked|preferred) it (better|more|) (before|the way it was|as it was)",
        "(put|change|turn|set) it back (please|again|the way it was|to how it was|to what it was|)",
        "make it (like|as|how|what) it was (before|earlier|a moment ago|)",
        "(restore|bring back|give me back) the (previous|last|old|earlier) (picture|version|image|one)",
        "that was (wrong|a mistake|not what i wanted|not right)(, undo it|, take it back|, go back|: undo)",
        "(forget|drop|discard) (that|this|the last|your last) (change|edit|step)",
        "undo",
    ],
)
FOLLOW_UP: Final = Intent(
    "ask.follow_up",
    [
        "and {the}",
        "(what|how) about {the}",
        "(and|so|ok|okay|right|alright|thanks)(,|) (what|how) about {the} (then|)",
        "and (for|of) {the}",
        "(the same|same) (question|thing) (for|about) {the}",
        "(the same|same) for {the} (please|)",
        "and {the} (then|too|as well|please)",
        "(ok|okay|alright|thanks|good|i see)(,|.) and {the}",
        "now {the}",
        "now (the same for|tell me about|what about) {the}",
        "(tell me|say|answer) the same (about|of|for) {the}",
        "{the} (too|as well)",
    ],
)
