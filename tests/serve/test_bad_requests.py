"""What cannot be answered is told in OpenAI's form, and the server goes on."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError
from PIL import Image
from serving import MODEL, RED, Serving, data_url, error, mask_of, png, user

CHAT = "/v1/chat/completions"
MAKE = "/v1/images/generations"
EDIT = "/v1/images/edits"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def goes_on(server: Serving) -> Any:
    yield
    assert server.get("/health").json() == {"status": "ok", "model": MODEL}
    assert server.figure("genllava_requests_at_work") == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"model": "genllava", "messages": "hello"}', "invalid_value"),
        (b'{"model": "genllava"}', "missing_required_parameter"),
        (b'{"model": "genllava", "messages": []}', "invalid_value"),
        (b'{"model": "genllava", "messages": [{"role": "user", "content": "\\ud800"}]}', None),
        (b"[" * 100_000, "invalid_body"),
        (b"[1, 2]", "invalid_json"),
    ],
    ids=["cut", "empty", "bytes", "words", "nothing", "none", "surrogate", "deep", "list"],
)
def test_bodies_that_are_none(server: Serving, body: bytes, code: str | None) -> None:
    status, said, _ = error(server.post(CHAT, content=body, headers=JSON))
    assert status == 400
    assert code is None or said == code


def test_json_that_does_not_say_so(server: Serving) -> None:
    """A web page can make a browser send this to any server without being asked."""
    body = json.dumps({"model": MODEL, "messages": [user(RED)]})
    answer = server.post(CHAT, content=body, headers={"Content-Type": "text/plain"})
    assert error(answer)[0] == 400
    assert "application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"stream": "often"}, "stream"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"user": ""}, "user"),
        ({"user": "a" * 257}, "user"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"stop": [1]}, None),
    ],
)
def test_options_that_cannot_be(server: Serving, more: dict[str, Any], param: str | None) -> None:
    status, _, named = error(server.chat(user(RED), **more))
    assert status == 400
    assert param is None or named == param


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"role": "king", "content": "draw"},
        {"role": "tool", "content": "rain"},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": ""},
        {"role": "user", "content": "a" * 20_001},
        {"role": "assistant", "content": "I have drawn it."},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "a", "arguments": "["}}]},
        {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
    ],
)
def test_messages_that_cannot_be(server: Serving, message: dict[str, Any]) -> None:
    assert error(server.chat(message))[0] == 400


def test_a_message_that_cannot_be_is_the_same_in_a_stream(server: Serving) -> None:
    assert error(server.chat({"role": "user", "content": ""}, stream=True))[0] == 400
    with pytest.raises(BadRequestError):
        server.client().chat.completions.create(model=MODEL, messages=[user("")], stream=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "http://127.0.0.1:1/a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "",
        "ftp://a/b",
        f"http://127.0.0.1:1/files/{'0' * 64}.png",
    ],
)
def test_addresses_are_not_fetched(server: Serving, url: str) -> None:
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = server.chat({"role": "user", "content": parts})
    assert error(answer) == (400, "invalid_image_url", "messages.0")
    assert "data:" in answer.json()["error"]["message"]
    assert url == "" or url not in answer.text


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", b"no picture")
    return file.getvalue()


NO_PICTURES = {
    "zip": zipped(),
    "cut": png(Image.effect_noise((64, 64), 9).convert("RGB"))[:900],
    "empty": b"",
    "large": png(Image.new("1", (5000, 5000))),
    "thin": png(Image.new("RGB", (6000, 10))),
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_files_that_are_no_pictures(server: Serving, kind: str) -> None:
    file = NO_PICTURES[kind]
    assert error(server.chat(user("what is this?", file))) == (400, "invalid_image", "messages.0")
    sent = {"image": ("picture.png", file, "image/png")}
    assert error(server.post(EDIT, files=sent, data={"prompt": "make it red"})) == (400, "invalid_image", "image")


def test_base64_that_is_none(server: Serving) -> None:
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}
    assert error(server.chat({"role": "user", "content": [shown]})) == (400, "invalid_image", "messages.0")


def test_too_many_pictures(server: Serving, drawing: bytes) -> None:
    assert error(server.chat(user("compare them", *[drawing] * 11))) == (400, "too_many_images", "messages.0")


def test_too_many_messages(server: Serving) -> None:
    assert error(server.chat(*[user("hello")] * 10_000)) == (400, "context_length_exceeded", "messages")


@pytest.mark.parametrize("path", [CHAT, MAKE])
def test_a_model_that_is_not_here(server: Serving, path: str) -> None:
    sent = {"model": "gpt-9", "messages": [user(RED)], "prompt": RED}
    answer = server.post(path, json=sent)
    assert error(answer) == (404, "model_not_found", "model")
    assert MODEL in answer.json()["error"]["message"]
    with pytest.raises(NotFoundError):
        server.client().images.generate(model="gpt-9", prompt=RED)


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"n": 100}, "n"),
        ({"n": 0}, "n"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "a" * 20_001}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"size": "large"}, "size"),
        ({"size": "0x0"}, "size"),
        ({"size": "12x"}, "size"),
        ({"size": "٣x٣"}, "size"),
        ({"size": "100000x100000"}, "size"),
        ({"size": "1024x1024"}, None),
        ({"stream": True}, "stream"),
        ({"background": "transparent"}, "background"),
        ({"output_format": "webp"}, "output_format"),
        ({"response_format": "xml"}, "response_format"),
    ],
)
def test_pictures_that_cannot_be_made(server: Serving, sent: dict[str, Any], param: str | None) -> None:
    status, _, named = error(server.post(MAKE, json={"prompt": "a red circle", **sent}))
    assert status == 400
    assert named == param


def test_nothing_at_all_as_options(server: Serving) -> None:
    """Clients send null for what is to be as usual."""
    sent = {"prompt": "a large red circle at the top left", "n": None, "size": None, "response_format": None}
    assert server.post(MAKE, json=sent).status_code == 200


def test_masks_that_cannot_be(server: Serving, drawing: bytes) -> None:
    def edit(mask: bytes) -> str:
        files = {"image": ("a.png", drawing), "mask": ("m.png", mask)}
        answer = server.post(EDIT, files=files, data={"prompt": "make it green"})
        assert error(answer)[0] == 400
        return str(answer.json()["error"]["message"])

    assert "one size" in edit(mask_of((64, 64), (0, 0, 32, 32)))
    assert "no transparency" in edit(png(Image.new("RGB", (128, 128))))
    assert "opaque" in edit(png(Image.new("RGBA", (128, 128), (0, 0, 0, 255))))
    assert "not a PNG" in edit(b"mask")


def test_forms_that_cannot_be(server: Serving, drawing: bytes) -> None:
    files = {"image": ("a.png", drawing)}
    assert error(server.post(EDIT, files=files))[1:] == ("missing_required_parameter", "prompt")
    assert error(server.post(EDIT, json={"prompt": "make it red"}))[1] == "invalid_form"
    several = [("image[]", ("a.png", drawing)), ("image[]", ("b.png", drawing))]
    assert error(server.post(EDIT, files=several, data={"prompt": "join them"}))[2] == "image"
    only_words = {"image": (None, "a.png"), "prompt": (None, "make it red")}
    assert error(server.post(EDIT, files=only_words))[2] == "image"
    headers = {"Content-Type": "multipart/form-data"}
    assert error(server.post(EDIT, content=b"no form", headers=headers))[0] == 400


@pytest.mark.slow
def test_a_body_of_200_megabytes(server: Serving) -> None:
    answer = server.post(EDIT, files={"image": ("a.png", b"\0" * 200_000_000)}, data={"prompt": "make it red"})
    assert error(answer)[:2] == (413, "request_too_large")
    chunked = server.post(CHAT, content=(b" " * 1_000_000 for _ in range(33)), headers=JSON)
    assert error(chunked)[:2] == (413, "request_too_large")


def test_paths_that_lead_nowhere(server: Serving) -> None:
    unknown = f"/files/{'0' * 64}.png"
    for path in ("/", "/v1/embeddings", "/files/../pyproject.toml", "/files/%2e%2e%2fa.png", unknown):
        assert error(server.get(path))[:2] == (404, "not_found")
    assert error(server.get(CHAT))[:2] == (405, "method_not_allowed")


def test_links_of_others_in_words_are_words(server: Serving) -> None:
    said = {"role": "assistant", "content": f"![a](http://example.org/files/{'0' * 64}.png) ![b](c ![d]"}
    assert server.chat(user(RED), said, user("draw a small blue square in the middle")).status_code == 200


def test_a_data_url_of_something_else(server: Serving) -> None:
    shown = {"type": "image_url", "image_url": {"url": data_url(b"<svg/>")}}
    assert error(server.chat({"role": "user", "content": [shown]}))[1] == "invalid_image"
