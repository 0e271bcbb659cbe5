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
from genllava_agent.terminal.typed_lines import history_file, read_line, remembered

if TYPE_CHECKING:
    from genllava_agent.threads import Thread
    from genllava_agent.user_config import ModelChoice


def converse(
    name: str | None,
    store: str | None,
    choice: ModelChoice,
    images: list[str],
    shows_pictures: bool,
    options: dict[str, Any],
) -> int:
    """Load the model, talk, and say how to go on; returns the exit code.

    Args:
        name: of the thread; a new one if None.
        store, options: as for `VisualAgent`.
        images: files of pictures for the first request.
        shows_pictures: in the terminal, if it can.

    Raises:
        GenLlavaError: there is no such model, thread or store.
        KeyboardInterrupt: Ctrl-C while the model is loaded, or while lines come from a file or a pipe.
    """
    from genllava_agent.agent import VisualAgent
    from genllava_agent.loading import load_pipeline
    from genllava_agent.reporting import Progress
    from genllava_agent.stores import open_store

    with Progress() as progress:
        progress.stage("opening the store")
        opened = open_store(store)
        opened.exists(name or "new")  # before the wait for the model: refuses names of no thread, finds the store
        progress.stage("loading the model")
        pipeline = load_pipeline(choice.model, choice.device, **choice.others)
    typed = sys.stdin.isatty()
    live = typed and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    with VisualAgent(pipeline, store=opened, **options) as agent:
        chat = Conversation(agent, agent.thread(name), typed, Screen(live, shows_pictures))
        chat.attached = [str(Path(path).absolute()) for path in images]
        with remembered(history_file(store) if typed else None):
            code = talk(chat)
        again = how_to_continue(chat.thread, store, choice.typed)
        if again is not None:
            chat.screen.note(f"To go on with this conversation: {again}")
    return code


def talk(chat: Conversation) -> int:
    """Talk until the user leaves; returns the exit code: 1 where a line of a file or a pipe could not be done.

    Raises:
        KeyboardInterrupt: Ctrl-C while lines come from a file or a pipe.
    """
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


def how_to_continue(thread: Thread, store: str | None, typed: dict[str, str]) -> str | None:
    """The command that goes on with a thread, with the options about the model that were typed; None if there is
    nothing to go on with."""
    if store == MEMORY or thread.name not in thread.agent.threads():
        return None
    options = {"thread": thread.name, **({} if store is None else {"store": store}), **typed}
    return shlex.join(["genllava", "chat", *(word for name, value in options.items() for word in (f"--{name}", value))])
