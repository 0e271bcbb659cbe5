"""The images endpoints with OpenAI's own client."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import numpy as np
import pytest
from drawn import shapes
from openai import BadRequestError, NotFoundError
from serving import MODEL, Serving, mask_of, opened

CIRCLE = ("large", "red", "circle", "top left")
SQUARE = ("small", "blue", "square", "center")


def test_a_picture_as_the_pipeline_draws_it(server: Serving, pipeline: Any) -> None:
    prompt = "a large red circle at the top left"
    made = server.client().images.generate(model=MODEL, prompt=prompt, extra_body={"seed": 4})
    (image,) = made.data or []
    expected = pipeline.generate(prompt, seed=4)
    assert image.b64_json is not None
    assert opened(image.b64_json).tobytes() == expected.image.tobytes()
    assert image.revised_prompt == expected.plan
    assert image.url is None


def test_several_pictures_and_links(server: Serving) -> None:
    made = server.client().images.generate(
        model=MODEL, prompt="a large red circle at the top left", n=3, response_format="url", extra_body={"seed": 1}
    )
    files = [httpx.get(str(image.url)).content for image in made.data or []]
    assert [CIRCLE in shapes(opened(file)) for file in files] == [True] * 3
    assert len(set(files)) == 3


def test_an_edit(server: Serving, drawing: bytes) -> None:
    made = server.client().images.edit(
        model=MODEL, image=("a.png", drawing), prompt="make the circle green", extra_body={"seed": 1}
    )
    (image,) = made.data or []
    assert shapes(opened(str(image.b64_json))) == {("large", "green", "circle", "top left"), SQUARE}


def test_one_picture_in_a_list_of_files(server: Serving, drawing: bytes) -> None:
    made = server.client().images.edit(model=MODEL, image=[("a.png", drawing)], prompt="make the circle green")
    assert len(made.data or []) == 1


def test_an_edit_of_what_the_mask_shows(server: Serving, drawing: bytes) -> None:
    """Two things of which one is meant: outside of the mask nothing changes."""
    whole = opened(drawing).convert("RGB")
    half = whole.width // 2
    made = server.client().images.edit(
        model=MODEL, image=("a.png", drawing), mask=("m.png", mask_of(whole.size, (0, 0, half - 8, half - 8))),
        prompt="make it green", extra_body={"seed": 1},
    )  # fmt: skip
    edited = opened(str((made.data or [])[0].b64_json))
    assert ("large", "green", "circle", "top left") in shapes(edited)
    before, after = np.asarray(whole), np.asarray(edited.convert("RGB"))
    assert (before[half:] == after[half:]).all()
    assert (before != after).any()


def test_what_the_model_declines_is_said(server: Serving) -> None:
    with pytest.raises(BadRequestError) as declined:
        server.client().images.generate(model=MODEL, prompt="a dog on a bicycle")
    assert declined.value.code == "declined"
    assert declined.value.type == "image_generation_user_error"


def test_models(server: Serving) -> None:
    client = server.client()
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(NotFoundError):
        client.models.retrieve("gpt-9")


def test_requests_at_once_are_drawn_together_and_not_crossed(server: Serving) -> None:
    colors = ["red", "blue", "green", "yellow", "red", "blue", "green", "yellow"]
    found: dict[int, Any] = {}
    before = server.figure("genllava_batch_size_count"), server.figure("genllava_batch_size_sum")

    def ask(place: int) -> None:
        prompt = f"a large {colors[place]} circle at the top left"
        made = server.client().images.generate(model=MODEL, prompt=prompt, extra_body={"seed": place})
        found[place] = shapes(opened(str((made.data or [])[0].b64_json)))

    threads = [threading.Thread(target=ask, args=[place]) for place in range(len(colors))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {place: {("large", color, "circle", "top left")} for place, color in enumerate(colors)}
    batches, drawn = (
        server.figure("genllava_batch_size_count") - before[0], server.figure("genllava_batch_size_sum") - before[1],
    )  # fmt: skip
    assert drawn == len(colors)
    assert batches < drawn / 1.5


def test_one_bad_request_does_not_spoil_those_it_is_drawn_with(server: Serving) -> None:
    answers: dict[str, int] = {}

    def ask(prompt: str, size: str) -> None:
        sent = {"prompt": prompt, "size": size}
        answers[f"{prompt} {size}"] = server.post("/v1/images/generations", json=sent).status_code

    asked = [("a small red star", "auto"), ("a small red star", "64x64"), ("a small blue star", "auto")]
    threads = [threading.Thread(target=ask, args=each) for each in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"a small red star auto": 200, "a small red star 64x64": 400, "a small blue star auto": 200}
