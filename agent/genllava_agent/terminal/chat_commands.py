"""The commands of a chat: lines that begin with a slash."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final

from genllava.errors import InvalidRequest
from genllava_agent.errors import NothingPending, UnknownImage
from genllava_agent.pages.markup import counted
from genllava_agent.pictures import ThreadImage
from genllava_agent.terminal.chat_screen import described
from genllava_agent.terminal.conversation import Conversation

COMMANDS: Final = {
    "image": ("PATH", "show the model a picture with your next request"),
    "detach": ("", "take off what is attached to your next request"),
    "images": ("", "list the pictures of this thread"),
    "show": ("[NAME]", "show a picture again, the last one if none is named"),
    "save": ("[NAME] PATH", "write a picture to a .png, .jpg or .webp file"),
    "undo": ("[N]", "take back the last turn, or the last N"),
    "redo": ("[N]", "bring back what was taken back"),
    "retry": ("[OTHER WORDS]", "ask the last request again, with another seed"),
    "branch": ("[NAME]", "go on from here on a thread of its own"),
    "resume": ("", "go on with a turn that was cut off"),
    "thread": ("[NAME]", "go on with another thread, or say which one this is"),
    "threads": ("", "list all threads"),
    "delete": ("NAME", "forget a thread and its pictures"),
    "history": ("", "list the turns of this thread"),
    "trace": ("[PATH]", "write a page about the last turn: its choices, pictures and times"),
    "help": ("", "list the commands"),
    "quit": ("", "leave; so does Ctrl-D"),
}
"""What follows the name of each when it is typed, and what it does."""


def run_command(chat: Conversation, line: str) -> None:
    """Do what a line that begins with a slash says.

    Raises:
        InvalidRequest: there is no such command, or it cannot be done like that.
    """
    name, _, rest = line[1:].partition(" ")
    rest = rest.strip()
    if name.lower() not in COMMANDS:
        hint = f"; to show the model that picture: /image {line}" if "/" in name or Path(line).is_file() else ""
        raise InvalidRequest(f"there is no command /{name}: /help lists them{hint}")
    if rest and not COMMANDS[name.lower()][0]:
        raise InvalidRequest(f"/{name} takes nothing after it: {rest!r}")
    thread, say, note = chat.thread, chat.screen.say, chat.screen.note
    match name.lower():
        case "image":
            _attach(chat, typed_path(rest))
        case "detach":
            if not chat.attached:
                raise InvalidRequest("nothing is attached to your next request")
            note(f"Took off {counted(len(chat.attached), 'picture')}.")
            chat.attached = []
        case "images":
            lines = [described(picture.record) for picture in thread.images.values()]
            lines += [f"with your next request: {path}" for path in chat.attached]
            say("\n".join(lines) or "There are no pictures yet.")
        case "show":
            picture = _picture(chat, rest)
            shown = chat.screen.picture(picture.image)
            say(described(picture.record) + ("" if shown else f"; /save {picture.id} PATH writes it to a file"))
        case "save":
            first, _, path = rest.partition(" ")
            if not (path.strip() and first.removeprefix("image_").isdecimal()):
                first, path = "", rest
            target = typed_path(path.strip())
            picture = _picture(chat, first)
            picture.save(target)
            note(f"{picture.id} is saved as {target}.")
        case "undo" | "redo" as way:
            if rest and not (rest.isascii() and rest.isdecimal() and len(rest) < 10):
                raise InvalidRequest(f"how many turns? {rest!r} is not a number")
            turns = int(rest or 1)
            (thread.undo if way == "undo" else thread.redo)(turns)
            history = thread.history()
            now = (
                f"the last one is now {history[-1].number}, {history[-1].request.text!r}" if history else "none is left"
            )
            note(f"{'Took' if way == 'undo' else 'Brought'} back {counted(turns, 'turn')}; {now}.")
        case "retry":
            options = dict(chat.screen.options)
            history = thread.history()
            if history and chat.agent.settings.seed is not None:  # which would give the same picture again
                options["seed"] = (history[-1].seed + 1) % 2**63
            chat.turn(lambda cancel: thread.retry_stream(rest or None, cancel=cancel, **options))
        case "branch":
            chat.thread = thread.branch(rest or None)
            note(f"Now on thread {chat.thread.name}; {thread.name} stays as it is.")
        case "resume":
            unfinished = thread.unfinished
            if unfinished is None:
                raise NothingPending("every turn of this thread is finished")
            if unfinished.question is None:
                chat.turn(thread.resume_stream)
            else:
                chat.settle(unfinished.question)
        case "thread" if rest:
            chat.enter(chat.agent.thread(rest))
        case "thread":
            say(thread.name)
        case "threads":
            lines = [("* " if each == thread.name else "  ") + each for each in chat.agent.threads()]
            say("\n".join(lines) or "There are no threads yet.")
        case "delete":
            if not rest:
                raise InvalidRequest("which thread? Give its name: it is gone for good")
            chat.agent.thread(rest, must_exist=True).delete()
            note(f"Thread {rest} is deleted.")
            if rest == thread.name:
                chat.enter(chat.agent.thread())
        case "history":
            lines = []
            for turn in thread.history():
                pictures = [f"   {described(record)}" for record in turn.images]
                lines += [f"{turn.number}. {turn.request.text}", *pictures, f"   {turn.text}"]
            say("\n".join(lines) or "Nothing has been asked yet.")
        case "trace":
            written = thread.trace(typed_path(rest or "genllava-trace.html"))
            note(f"The last turn is written down in {written}.")
        case "help":
            lines = [f"{f'/{each} {usage}':20}  {says}" for each, (usage, says) in COMMANDS.items()]
            lines.append("Whatever else you type is a request; Ctrl-C cancels the one that is running.")
            say("\n".join(lines))
        case "quit":
            chat.running = False


def typed_path(text: str) -> str:
    """A path as people type or drop it: plain, quoted, or with backslashes; spaces need neither."""
    if not text:
        raise InvalidRequest("which file? Give its path")
    try:
        words = [text] if Path(text).exists() else shlex.split(text)
    except (ValueError, OSError):  # a quotation mark that is part of the name; or a name that no file can have
        words = []
    return os.path.expanduser(words[0] if len(words) == 1 else text)  # and not pathlib: `//` of a URL must stay


def _attach(chat: Conversation, path: str) -> None:
    from genllava.images import picture_notes
    from genllava_agent.inputs import read_picture

    picture = read_picture(path, from_stdin=False)
    chat.attached.append(str(Path(path).absolute()))
    chat.screen.picture(picture)
    chat.screen.note(f"Attached to your next request: {Path(path).name}, {picture.width}x{picture.height}.")
    for note in picture_notes(picture):
        chat.screen.note(f"Note: {note}")


def _picture(chat: Conversation, name: str) -> ThreadImage:
    """A picture by `image_2` or `2`; the last one if nothing is named."""
    pictures = chat.thread.images
    if not name and not pictures:
        raise UnknownImage("this thread has no picture yet: ask for one")
    return pictures[f"image_{name}" if name.isdecimal() else name or list(pictures)[-1]]
