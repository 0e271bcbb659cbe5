"""What ships does not speak of what it cannot read: other pictures, none at all, words that it does not know."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from genllava.errors import InvalidRequest
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.pipeline_output import Drawing
from genllava.protocols.shapes import layout, replies
from genllava.protocols.shapes.reading import LIKE, UNREADABLE, likeness, why_unread
from genllava.protocols.shapes.segments import Written
from genllava.protocols.shapes.tokens import I2I, I2T, T2I
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, COLORS, SHAPES, SIZES, Scene, Thing

SCENE = Scene("white", (Thing(0, "circle", "red", "large"), Thing(4, "square", "green", "small")))
SAID = "A large red circle at the top left, a small green square at the center, on white."


@pytest.fixture(scope="module")
def shipped() -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pretrained()


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8))


def stripes() -> Image.Image:
    y, x = np.mgrid[:200, :200]
    return Image.fromarray(np.where(((x + y) // 24 % 2)[..., None], (230, 40, 40), (250, 250, 240)).astype(np.uint8))


def blank() -> Image.Image:
    return Image.new("RGB", (128, 128), "white")


def page() -> Image.Image:
    image = Image.new("RGB", (400, 300), "white")
    for top in range(20, 280, 20):
        ImageDraw.Draw(image).text((20, top), "nothing but words in this picture, and many of them", fill="black")
    return image


OTHER = [noise, stripes, blank, page]


def test_other_pictures_are_neither_described_nor_edited(shipped: GenLlavaPipeline) -> None:
    questions = ["What does it show?", "how many shapes are there?", "who is in the photo?", "describe the picture"]
    images = [make() for make in OTHER]
    for answer in shipped.understand(images, questions):
        assert (answer.text, why_unread(answer.unsure)) == (UNREADABLE, answer.unsure)
        assert answer.unsure
        assert layout.captions_in(answer.seen) == []
    for drawing in shipped.edit(images, ["make the background black"] * len(images), seed=0):
        assert (drawing.image, drawing.text, drawing.plan) == (None, UNREADABLE, None)
        assert drawing.unsure
    assert next(iter(shipped.protocol.next_action("make the circle green", blank()))) == I2T
    assert shipped.protocol.conversation().describe(blank()) == ""


def test_a_drawing_of_shapes_is_read(shipped: GenLlavaPipeline) -> None:
    answers = shipped.understand([render(SCENE), noise()], ["describe the picture"] * 2)
    assert [answer.text for answer in answers] == [SAID, UNREADABLE]
    assert answers[0].unsure == ""
    drawing = shipped.edit(render(SCENE), "make the circle blue", seed=0)
    assert drawing.plan == "at the top left a large blue circle, at the center a small green square, on white"
    assert drawing.image is not None


def test_in_a_conversation(shipped: GenLlavaPipeline) -> None:
    chat = shipped.conversation()
    for text, images in (("what is on this photo?", [stripes()]), ("describe it", []), ("how many shapes?", [])):
        (answer,) = chat.ask(text, images)
        assert (answer.text, bool(answer.unsure)) == (UNREADABLE, True), text
    (drawing,) = chat.ask("make the circle green", seed=0)
    assert (drawing.text, getattr(drawing, "image", None)) == (UNREADABLE, None)
    (answer,) = chat.ask("thank you")
    assert (answer.text, answer.unsure) == ("You are welcome!", "")
    (drawing,) = chat.ask("draw a large red circle at the top left, on white", seed=0)
    assert isinstance(drawing, Drawing)
    assert drawing.image is not None
    (answer,) = chat.ask("what color is the circle?")
    assert (answer.text, answer.unsure) == ("The circle is red.", "")
    (answer,) = chat.ask("describe image 1")
    assert answer.text == UNREADABLE


def test_the_picture_that_is_asked_about_counts(shipped: GenLlavaPipeline) -> None:
    chat = shipped.conversation()
    (first,) = chat.ask("describe the second picture", [noise(), render(SCENE)])
    (second,) = chat.ask("describe the first picture")
    assert (first.text, second.text) == (SAID, UNREADABLE)
    assert layout.captions_in(first.seen) == [
        (2, "at the top left a large red circle, at the center a small green square, on white")
    ]


def test_a_plan_that_is_given_does_not_get_around_it(shipped: GenLlavaPipeline) -> None:
    plan = "at the center a small green circle, on white"
    chat = shipped.conversation()
    chat.add_user("make the circle green", [noise()])
    with pytest.raises(InvalidRequest, match="does not look like a drawing"):
        chat.draw(I2I, plan=plan, seed=0)
    assert len(chat.pictures) == 1
    for bridge in ("caption", "head"):
        declined, drawing = shipped.edit(
            [page(), render(SCENE)], ["change it"] * 2, plan=[plan] * 2, seed=0, bridge=bridge
        )
        assert (declined.image, declined.text) == (None, UNREADABLE)
        assert drawing.image is not None


def test_it_is_told_before_anything_else_is(shipped: GenLlavaPipeline) -> None:
    chat, heard = shipped.conversation(), list[str]()
    chat.add_user("describe the picture", [noise()])
    assert next(iter(chat.next_action())) == I2T
    chat.answer(on_text=heard.append)
    assert heard == [UNREADABLE]
    chat.add_user("describe the picture", [render(SCENE)])
    chat.answer(on_text=heard.append)
    assert len(heard) > 5
    assert heard[-1] == SAID


def test_a_picture_is_drawn_again_once(shipped: GenLlavaPipeline) -> None:
    counters, image = shipped.counters, render(Scene("gray", (Thing(2, "star", "yellow", "large"),)))
    rows = [counters.unet_rows]
    for _ in range(2):
        shipped.understand([image, image], ["how many shapes are there?"] * 2)
        rows.append(counters.unet_rows)
    assert np.diff(rows).tolist() == [1, 0]
    drawing = shipped.generate("a large red circle", seed=3)
    before = counters.unet_rows
    assert shipped.understand(drawing, "how many shapes are there?").text == "There is one shape."
    assert counters.unet_rows == before, "what the model drew itself"


def test_it_is_the_same_where_a_conversation_is_replayed(shipped: GenLlavaPipeline) -> None:
    chat = shipped.conversation()
    chat.add_user("make the circle green", [stripes()])
    other = shipped.conversation()
    other.replay(chat.ids[1:], [stripes()], request=chat.request, seen=chat.seen, acted=chat.acted)
    assert next(iter(other.next_action())) == next(iter(chat.next_action())) == I2T
    assert other.answer() == chat.answer()
    assert other.answer().text == UNREADABLE


# --- no picture, other words ---


def test_without_a_picture_none_is_described(shipped: GenLlavaPipeline) -> None:
    chat = shipped.conversation()
    able = f"{replies.ABILITIES} {replies.VOCABULARY}"
    for text, said in (
        ("hi", "Hello! I can see, draw and edit simple shapes."),
        ("what can you do?", able),
        ("which shapes do you know?", able),
        ("what shapes can you draw?", able),
        ("how many shapes are there?", replies.NO_PICTURE),
        ("describe the picture", replies.NO_PICTURE),
        ("make the circle green", replies.NO_PICTURE),
        ("draw a cat", replies.OUTSIDE),
        ("thanks", "You are welcome!"),
    ):
        (answer,) = chat.ask(text)
        assert (answer.text, answer.seen) == (said, ""), text
        assert shipped.understand(None, text).text == said
    (drawing,) = chat.ask("draw a red circle", seed=0)
    assert isinstance(drawing, Drawing)


def test_nothing_was_asked_yet(shipped: GenLlavaPipeline) -> None:
    chat = shipped.conversation()
    assert chat.next_action([T2I, I2T]).keys() == {T2I, I2T}
    assert chat.draw(T2I, plan="at the top a small red circle, on white", seed=0).image is not None


def test_words_of_another_script(shipped: GenLlavaPipeline) -> None:
    texts = ["画一个红色的圆", "ارسم دائرة حمراء", "こんにちは", "нарисуй красный круг", "😀😀", "1234"]
    for image in (None, render(SCENE)):
        for answer in shipped.understand([image] * len(texts), texts):
            assert (answer.text, bool(answer.unsure)) == (replies.NOT_UNDERSTOOD, True)
        (answer,) = shipped.conversation().ask(texts[0], image)
        assert (answer.text, bool(answer.unsure)) == (replies.NOT_UNDERSTOOD, True)
        assert answer.task_probabilities == {I2T: pytest.approx(1.0)}
    assert {drawing.text for drawing in shipped.generate(texts, seed=0)} == {replies.NOT_UNDERSTOOD}
    assert shipped.edit(render(SCENE), texts[1], seed=0).text == replies.NOT_UNDERSTOOD


def test_a_request_that_is_cut_off_or_in_other_words_is_answered_in_a_sentence(shipped: GenLlavaPipeline) -> None:
    texts = ["the", "make it", "in the", "zeichne einen roten kreis", "x**2", "draw a", "how many", "is there a"]
    known = (replies.OUTSIDE, replies.NOT_UNDERSTOOD, replies.NO_PICTURE, replies.ABILITIES, "You are welcome!")
    for answer in shipped.understand(None, texts):
        assert answer.text.startswith(known)


def test_the_words_it_says_it_knows_are_those_it_was_taught() -> None:
    for word in (*SHAPES, *COLORS, *SIZES, *BACKGROUNDS):
        assert word in replies.VOCABULARY


def test_what_it_is_not_sure_of_is_not_said() -> None:
    sure = Written("There is one shape.", [0.99, 0.97, 1.0], True)
    assert replies.said(sure, 1) == replies.Said("There is one shape.")
    assert replies.said(sure, 0).text == replies.NO_PICTURE
    for likelihoods, ended in (([0.99, 0.2, 1.0], True), ([0.6, 0.6, 0.8], True), ([1.0] * 256, False)):
        said = replies.said(Written("one one one", likelihoods, ended), 1)
        assert (said.text, bool(said.unsure)) == (replies.NOT_UNDERSTOOD, True)
    assert replies.said(Written("Goodbye!", [0.4], True), 0).text == replies.NOT_UNDERSTOOD
    assert replies.said(Written(replies.OUTSIDE, [0.4], True), 0).text == replies.OUTSIDE


def test_tasks_that_are_left() -> None:
    likely = {I2I: 0.7, T2I: 0.2, I2T: 0.1}
    assert replies.checked_tasks(likely, True, "") == likely
    assert replies.checked_tasks(likely, True, "another picture") == pytest.approx({I2T: 0.8, T2I: 0.2})
    assert replies.checked_tasks(likely, False, "") == pytest.approx({I2T: 1.0})
    assert replies.checked_tasks({I2I: 1.0}, False, "") == {I2I: 1.0}, "nothing else may be done"


# --- likeness ---


def test_likeness_is_of_things_and_not_of_places() -> None:
    def scene(*things: tuple[int, str, str], jitter: int = 0, background: str = "white") -> Image.Image:
        made = [Thing(cell, shape, color, "large", jitter, -jitter) for cell, shape, color in things]
        return render(Scene(background, tuple(made)))

    circle, star = (0, "circle", "red"), (8, "star", "blue")
    here = scene(circle, star)
    assert likeness(here, here) == 1
    assert likeness(scene(circle, star, jitter=3), here) > 0.9
    assert likeness(scene(circle, star, background="beige"), here) > 0.9
    assert 0.3 < likeness(scene(circle), here) < 0.7
    assert likeness(scene((2, "circle", "red")), scene(circle)) == 0, "elsewhere"
    assert likeness(scene((0, "circle", "cyan")), scene(circle)) < 0.1, "another color"
    assert likeness(blank(), scene(circle)) == 0
    assert likeness(blank(), blank()) == 1
    assert likeness(noise().resize((128, 128)), here) < LIKE


def test_pictures_of_the_renderer_come_out_alike(shipped: GenLlavaPipeline) -> None:
    from genllava_finetune.worlds.shapes.splits import RESEARCH, sample_scene

    rng = random.Random("reading")
    images = [render(sample_scene(rng, "dev", withhold=RESEARCH)) for _ in range(24)]
    answers = shipped.understand(images, ["how many shapes are there?"] * len(images))
    assert [answer.unsure for answer in answers] == [""] * len(images)
