"""Messages beyond the domain: what they hold, and which words training never sees."""

from __future__ import annotations

import random
import re

from genllava_finetune.worlds.grammar import is_held_out_form
from genllava_finetune.worlds.shapes.dialogue import DeclineCheck
from genllava_finetune.worlds.shapes.language import foreign_words as foreign
from genllava_finetune.worlds.shapes.language import outside_requests as requests
from genllava_finetune.worlds.shapes.outside import KINDS, OUTSIDE, sample_outside

GROUPS = {
    "chat": [requests.GREETING, requests.THANKS, requests.GOODBYE, requests.ABILITIES],
    "draw": [requests.DRAW, requests.WRITE],
    "edit": [requests.CHANGE, requests.STYLE],
    "question": [requests.QUESTION],
}


def test_every_kind_has_at_least_sixty_forms_and_withholds_some() -> None:
    assert set(GROUPS) == set(KINDS)
    for kind, intents in GROUPS.items():
        assert sum(len(intent.forms()) for intent in intents) >= 60, kind
        assert all(intent.forms("held_out") for intent in intents)


def test_nothing_is_drawn_and_the_answer_says_what_can_be_done() -> None:
    rng = random.Random(0)
    for kind in KINDS:
        for _ in range(200):
            turn = sample_outside(rng, "train", kind)
            assert turn.family == f"outside.{kind}"
            assert turn.check == DeclineCheck("outside")
            (step,) = turn.steps
            assert (step.task, step.target) == ("I2T", None)
            if kind != "chat":
                assert step.text == OUTSIDE


def test_a_fifth_of_the_foreign_words_is_withheld_from_training() -> None:
    withheld = {word for word in foreign.NOUNS if foreign.is_held_out_word(word)}
    assert 0.12 < len(withheld) / len(foreign.NOUNS) < 0.28
    rng = random.Random(1)
    foreign_only = withheld - {*foreign.ADJECTIVES}
    scenery = {word for phrase in foreign.SCENERY for word in phrase.split()}
    literal = {w for intents in GROUPS.values() for i in intents for f in i.forms() for w in re.findall("[a-z]+", f)}
    checked = foreign_only - scenery - literal
    assert len(checked) > 40
    for _ in range(5000):
        turn = sample_outside(rng, "train")
        assert not is_held_out_form(turn.form)
        assert not checked & set(re.findall("[a-z]+", turn.user.lower())), turn.user
    used = [sample_outside(rng, "held_out", "draw") for _ in range(500)]
    assert sum(bool(checked & set(re.findall("[a-z]+", turn.user.lower()))) for turn in used) > 100


def test_words_of_the_domain_do_not_decide_alone() -> None:
    rng = random.Random(2)
    texts = [sample_outside(rng, "train", "draw").user.lower() for _ in range(1000)]
    assert sum(bool(re.search(r"\b(circle|square|star|red|blue)\b", text)) for text in texts) > 200
