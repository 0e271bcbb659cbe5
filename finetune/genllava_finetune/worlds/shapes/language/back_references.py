"""Sentences that make sense only after an earlier turn: taking a change back, asking the same of something else."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.shapes.language.grammar import Intent

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
IT: Final = {
    "color": Intent(
        "ask.it.color",
        [
            "(what|which) {color} is (it|this|that)",
            "(what|which) {color} is (the|this|that) {thing}",
            "(what|which) {color} does (it|this|the {thing}) have",
            "(what is|what's|tell me|say|name) its {color}",
            "(tell me|say) (what|which) {color} (it|this|the {thing}) is",
            "its {color}",
            "(what is|what's) the {color} of (it|this|that|the {thing}|this {thing})",
            "(can you|could you|please) (tell me|name|say) (its {color}|what {color} it is)",
        ],
    ),
    "shape": Intent(
        "ask.it.shape",
        [
            "(what|which) shape is (it|this|that)",
            "(what|which) shape does (it|this|the {thing}) have",
            "what (kind|sort) of shape is (it|this|that)",
            "(what is|what's|tell me|say|name) its shape",
            "(tell me|say) (what|which) shape (it|this) is",
            "its shape",
            "(can you|could you|please) (tell me|name|say) (its shape|what shape it is)",
        ],
    ),
    "size": Intent(
        "ask.it.size",
        [
            "how (big|large|small) is (it|this|that)",
            "how (big|large|small) is (the|this|that) {thing}",
            "(what is|what's|tell me|say) its size",
            "(what|which) size (is|has) (it|this|the {thing})",
            "is it (big or small|large or small|small or large|small or big)",
            "(tell me|say) how (big|large) (it|this|the {thing}) is",
            "its size",
            "(can you|could you|please) (tell me|say) (its size|how big it is)",
        ],
    ),
    "cell": Intent(
        "ask.it.place",
        [
            "where is (it|this|that)",
            "where is (the|this|that) {thing}",
            "where (can i find|do you see) (it|the {thing})",
            "(what is|what's|tell me|say) its (place|position)",
            "in (which|what) (place|part of the picture|corner or side) is it",
            "(tell me|say) where (it|this|the {thing}) is",
            "its (place|position)",
            "(can you|could you|please) (tell me|say) where it is",
        ],
    ),
}
"""Questions about the only thing there is, or what is taken for it, by attribute."""
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
