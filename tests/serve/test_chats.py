"""Chats with OpenAI's own client."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from drawn import shapes
from openai import BadRequestError
from serving import MODEL, RED, Serving, opened, user

CIRCLE = ("large", "red", "circle", "top left")
GREEN = ("large", "green", "circle", "top left")


def links(content: str | None) -> list[str]:
    """The addresses of the pictures in a reply's Markdown."""
    return [part.partition(")")[0] for part in (content or "").split("](")[1:]]


def linked(server: Serving, content: str) -> list[bytes]:
    """The pictures that a reply links to in Markdown."""
    addresses = links(content)
    assert all(address.startswith(f"{server.url}/files/") for address in addresses)
    answers = [httpx.get(address) for address in addresses]
    assert [answer.headers["content-type"] for answer in answers] == ["image/png"] * len(answers)
    return [answer.content for answer in answers]


def test_a_question_about_a_picture(server: Serving, drawing: bytes) -> None:
    reply = server.client().chat.completions.create(
        model=MODEL, messages=[user("What colour is the circle?", drawing)]
    )
    (choice,) = reply.choices
    assert choice.message.content == "The circle is red."
    assert choice.finish_reason == "stop"
    assert reply.object == "chat.completion"
    assert reply.usage is not None
    assert min(reply.usage.prompt_tokens, reply.usage.completion_tokens) > 0
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_drawing_comes_as_a_part_and_as_a_link(server: Serving) -> None:
    reply = server.client().chat.completions.create(model=MODEL, messages=[user(RED)], seed=3)
    message: Any = reply.choices[0].message
    (part,) = message.images
    (file,) = linked(server, message.content)
    assert opened(part["image_url"]["url"]).tobytes() == opened(file).tobytes()
    assert shapes(opened(file)) == {CIRCLE}
    assert reply.model_extra is not None
    assert reply.model_extra["genllava"]["seed"] == 3


def test_a_stream_says_what_the_whole_reply_says(server: Serving) -> None:
    asked: Any = {"model": MODEL, "messages": [user(f"{RED}, then tell me what is at the top left")], "seed": 5}
    whole: Any = server.client().chat.completions.create(**asked)
    chunks: list[Any] = list(
        server.client().chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    assert len([delta for delta in deltas if delta.content]) > 3
    images = [part for delta in deltas for part in (getattr(delta, "images", None) or [])]
    assert images == whole.choices[0].message.images
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_the_option_a_stream_has_no_usage(server: Serving, drawing: bytes) -> None:
    asked = [user("What colour is the circle?", drawing)]
    chunks = list(server.client().chat.completions.create(model=MODEL, messages=asked, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_a_drawing_is_edited_where_the_front_end_sends_back_its_words_alone(server: Serving) -> None:
    first = server.client().chat.completions.create(model=MODEL, messages=[user(RED)], seed=1)
    said = {"role": "assistant", "content": first.choices[0].message.content}
    then: Any = server.client().chat.completions.create(
        model=MODEL, messages=[user(RED), said, user("make it green")], seed=1
    )
    (file,) = linked(server, then.choices[0].message.content)
    assert shapes(opened(file)) == {GREEN}
    assert len(then.choices[0].message.images) == 1


def test_a_drawing_is_edited_where_the_front_end_sends_back_the_parts(server: Serving) -> None:
    first: Any = server.client().chat.completions.create(model=MODEL, messages=[user(RED)], seed=1)
    said: Any = {"role": "assistant", "content": "Here it is.", "images": first.choices[0].message.images}
    then: Any = server.client().chat.completions.create(
        model=MODEL, messages=[user(RED), said, user("make it green")], seed=1
    )
    assert shapes(opened(then.choices[0].message.images[0]["image_url"]["url"])) == {GREEN}


def test_a_link_of_this_server_is_read_as_the_picture(server: Serving) -> None:
    first = server.client().chat.completions.create(model=MODEL, messages=[user(RED)], seed=1)
    (address,) = links(first.choices[0].message.content)
    picture = {"type": "image_url", "image_url": {"url": address}}
    parts = [{"type": "text", "text": "What colour is the circle?"}, picture]
    reply = server.chat({"role": "user", "content": parts}).json()
    assert reply["choices"][0]["message"]["content"] == "The circle is red."


def test_what_a_link_leads_to_is_said_without_sending_it(server: Serving) -> None:
    first = server.client().chat.completions.create(model=MODEL, messages=[user(RED)], seed=1)
    (address,) = links(first.choices[0].message.content)
    for url in (address, f"{server.url}/health"):
        got, head = httpx.get(url), httpx.head(url)
        assert (head.status_code, head.content) == (200, b"")
        assert {name: head.headers[name] for name in ("content-type", "content-length")} == {
            name: got.headers[name] for name in ("content-type", "content-length")
        }
    assert httpx.head(f"{server.url}/files/{'0' * 64}.png").status_code == 404


def test_nothing_is_remembered_without_a_thread(server: Serving) -> None:
    server.chat(user(RED))
    reply = server.chat(user("make it green")).json()["choices"][0]["message"]
    assert reply["images"] is None
    assert reply["content"]


@pytest.mark.parametrize("header", [False, True], ids=["user", "header"])
def test_a_thread_remembers_and_is_nobody_elses(server: Serving, header: bool) -> None:
    def named(who: str) -> Any:
        return {"extra_headers": {"X-GenLLaVA-Thread": who}} if header else {"user": who}

    def say(text: str, who: str) -> Any:
        made = server.client().chat.completions.create(model=MODEL, messages=[user(text)], seed=1, **named(who))
        assert made.usage is not None
        assert made.usage.total_tokens > 0
        return made.choices[0].message

    say(RED, "../alice")
    other = say("make it green", "bob")
    assert not other.images
    edited = say("make it green", "../alice")
    assert shapes(opened(edited.images[0]["image_url"]["url"])) == {GREEN}
    asked: Any = {"messages": [user("what colour is the circle?")], "stream": True, **named("../alice")}
    streamed = server.client().chat.completions.create(model=MODEL, **asked)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "The circle is green."


def test_on_a_thread_only_what_is_new_is_read(server: Serving) -> None:
    server.chat(user(RED), user="carol", seed=1)
    history = [user(RED), {"role": "assistant", "content": "Here it is."}, user("what colour is the circle?")]
    reply = server.chat(*history, user="carol").json()
    assert reply["choices"][0]["message"]["content"] == "The circle is red."
    assert [step["action"] for step in reply["genllava"]["steps"]] == ["understand"]


def test_the_text_ends_before_a_stop_word(server: Serving, drawing: bytes) -> None:
    asked = [user("What colour is the circle?", drawing)]
    reply = server.client().chat.completions.create(model=MODEL, messages=asked, stop=["red"])
    assert reply.choices[0].message.content is not None
    assert reply.choices[0].message.content.strip() == "The circle is"


def test_what_is_not_read_is_said(server: Serving, drawing: bytes) -> None:
    rules = {"role": "system", "content": "Answer in French."}
    reply = server.chat(rules, user("What colour is the circle?", drawing)).json()
    assert reply["genllava"]["ignored"] == ["system message"]


def test_sampling_options_that_every_client_sends_are_taken(server: Serving, drawing: bytes) -> None:
    reply = server.client().chat.completions.create(
        model=MODEL, messages=[user("What colour is the circle?", drawing)], temperature=0.2, max_tokens=100, top_p=1
    )
    assert reply.choices[0].message.content == "The circle is red."


def test_tools_need_something_that_calls_them(server: Serving) -> None:
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    with pytest.raises(BadRequestError, match="calls no tools") as refused:
        server.client().chat.completions.create(model=MODEL, messages=[user("weather?")], tools=[tool])
    assert refused.value.param == "tools"
    allowed = server.chat(user(RED), tools=[tool], tool_choice="none")
    assert allowed.status_code == 200
