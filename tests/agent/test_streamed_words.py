"""What the model that ships says is seen word by word by LangGraph's `stream_mode="messages"` and by callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver

from genllava_agent import create_genllava_agent

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

THREAD: dict[str, Any] = {"configurable": {"thread_id": "a"}}


class Heard(BaseCallbackHandler):
    """Keeps the tokens it is told of."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)


def test_words_are_streamed_once_under_the_id_of_the_reply(pipeline: GenLlavaPipeline) -> None:
    graph = create_genllava_agent(pipeline, checkpointer=InMemorySaver(), artifacts=":memory:", seed=1)
    graph.invoke({"messages": "draw a large red circle at the top left"}, THREAD)
    heard = Heard()
    config: Any = {**THREAD, "callbacks": [heard]}
    parts = list(graph.stream({"messages": "what colour is the circle?"}, config, stream_mode="messages"))
    chunks = [message for message, _ in parts if isinstance(message, AIMessageChunk)]
    reply = graph.get_state(THREAD).values["messages"][-1]
    assert len(chunks) > 2
    assert "".join(str(chunk.text) for chunk in chunks) == reply.text == "".join(heard.tokens)
    assert {chunk.id for chunk in chunks} == {reply.id}
    assert [message.id for message, _ in parts].count(reply.id) == len(chunks), "it does not come a second time"
