"""`genllava chat`: a conversation in a terminal, or line by line from a pipe.

Ctrl-C ends the turn that is running, and not the program; whatever goes wrong is one line, and the next may be typed.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genllava_agent.stores import MEMORY
from genllava_agent.terminal.chat_commands import run_command
from genllava_agent.terminal.chat_screen import Screen
from genllava_agent.terminal.conversation import Conversation
from genllava_agent.terminal.typed_lines import history_file, read_line, remember

if TYPE_CHECKING:
    from genllava_agent.threads import Thread


def converse(
    typed: dict[str, str], choice: dict[str, str], images: list[str], shows_pictures: bool, settings: dict[str, Any]
) -> int:
    """Load the model, talk, and say how to go on; returns the exit code.

    Args:
        typed: the options that were typed about the thread, the store and the model, by name.
        choice: of the model, for `load_pipeline`.
        images: files of pictures for the first request.
        settings: of all turns.

    Raises:
        GenLlavaError: there is no such model, thread or store.
        KeyboardInterrupt: Ctrl-C while the model is loaded, or while lines come from a file or a pipe.
    """
    from genllava_agent.agent import VisualAgent
    from genllava_agent.loading import load_pipeline
    from genllava_agent.reporting import Progress
    from genllava_agent.stores import open_store

    name, store = typed.get("thread"), typed.get("store")
    with Progress() as progress:
        progress.stage("opening the store")
        opened = open_store(store)
        opened.exists(name or "new")  # before the wait for the model: refuses names of no thread, finds the store
        progress.stage("loading the model")
        pipeline = load_pipeline(**choice)
    by_hand = sys.stdin.isatty()
    live = by_hand and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    with VisualAgent(pipeline, store=opened, **settings) as agent:
        chat = Conversation(agent, agent.thread(name), by_hand, Screen(live, shows_pictures))
        chat.attached = [str(Path(path).absolute()) for path in images]
        if by_hand:
            remember(history_file(store))
        code = talk_to_the_end(chat)
        if again := how_to_continue(chat.thread, typed):
            chat.screen.note(f"To go on with this conversation: {again}")
    return code


def talk_to_the_end(chat: Conversation) -> int:
    """Talk until the user leaves; returns the exit code: 1 where a line of a file or a pipe could not be done."""
    if chat.screen.live:
        chat.screen.note("Ask, or say what to draw; /help lists commands, Ctrl-D leaves.")
    chat.guarded(chat.enter, chat.thread)
    pressed = 0
    while chat.running and pressed < 2:
        try:
            line = read_line("> ", chat.typed).strip()
        except EOFError:
            if chat.typed:
                chat.screen.note("")
            break
        except KeyboardInterrupt:
            if not chat.typed:
                raise
            pressed += 1
            chat.screen.note("\nCtrl-C again, or Ctrl-D, leaves" if pressed == 1 else "")
            continue
        pressed = 0
        if line.startswith("/"):
            chat.guarded(run_command, chat, line)
        elif line:
            chat.guarded(chat.ask, line)
    return 1 if chat.failed and not chat.typed else 0


def how_to_continue(thread: Thread, typed: dict[str, str]) -> str | None:
    """The command that goes on with a thread, with the options that were typed; None if there is nothing to go on
    with."""
    if typed.get("store") == MEMORY or thread.name not in thread.agent.threads():
        return None
    given = {"thread": ""} | typed | {"thread": thread.name}
    return shlex.join(["genllava", "chat", *(word for name, value in given.items() for word in (f"--{name}", value))])
