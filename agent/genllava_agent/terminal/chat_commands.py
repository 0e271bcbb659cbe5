"""The commands of a chat: lines that begin with a slash."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava.errors import InvalidRequest
from genllava_agent.errors import NothingPending, UnknownImage
from genllava_agent.terminal.chat_screen import described

if TYPE_CHECKING:
    from genllava_agent.pictures import ThreadImage
    from genllava_agent.terminal.chat import Chat

_NAME: Final = re.compile(r"(?:image_)?([1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class Command:
    """One of them.

    Attributes:
        usage: what follows its name.
        help: what it does.
        run: does it; is given what was typed after its name.
    """

    usage: str
    help: str
    run: Callable[[Chat, str], None]


def run(chat: Chat, line: str) -> None:
    """Do what a line that begins with a slash says.

    Raises:
        InvalidRequest: there is no such command, or it cannot be done like that.
    """
    name, _, rest = line[1:].partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        hint = f"; to show the model that picture: /image {line}" if "/" in name or Path(line).is_file() else ""
        raise InvalidRequest(f"there is no command /{name}: /help lists them{hint}")
    if not command.usage and rest.strip():
        raise InvalidRequest(f"/{name} takes nothing after it: {rest.strip()!r}")
    command.run(chat, rest.strip())


def typed_path(text: str) -> str:
    """A path as people type or drop it: plain, quoted, or with backslashes; spaces need neither.

    Raises:
        InvalidRequest: nothing was typed.
    """
    if not text:
        raise InvalidRequest("which file? Give its path")
    try:
        words = [text] if Path(text).exists() else shlex.split(text)
    except (ValueError, OSError):  # a quotation mark that is part of the name; or a name that no file can have
        words = []
    return os.path.expanduser(words[0] if len(words) == 1 else text)  # and not pathlib: `//` of a URL must stay


# --- pictures ---


def _image(chat: Chat, rest: str) -> None:
    from genllava.images import picture_notes
    from genllava_agent.inputs import check_file, read_picture

    path = check_file(typed_path(rest))
    picture = read_picture(path)
    chat.attached.append(str(Path(path).absolute()))
    chat.screen.picture(picture)
    chat.screen.note(f"Attached to your next request: {Path(path).name}, {picture.width}x{picture.height}.")
    for note in picture_notes(picture):
        chat.screen.note(f"Note: {note}")


def _detach(chat: Chat, rest: str) -> None:
    if not chat.attached:
        raise InvalidRequest("nothing is attached to your next request")
    count, chat.attached = len(chat.attached), []
    chat.screen.note(f"Took off {count} picture{'' if count == 1 else 's'}.")


def _images(chat: Chat, rest: str) -> None:
    lines = [described(picture.record) for picture in chat.thread.images.values()]
    lines += [f"with your next request: {path}" for path in chat.attached]
    chat.screen.say("\n".join(lines) or "There are no pictures yet.")


def _show(chat: Chat, rest: str) -> None:
    picture = _picture(chat, rest)
    shown = chat.screen.picture(picture.image)
    chat.screen.say(described(picture.record) + ("" if shown else f"; /save {picture.id} PATH writes it to a file"))


def _save(chat: Chat, rest: str) -> None:
    from genllava_agent.outputs import check_picture_output, write_picture

    first, _, path = rest.partition(" ")
    named = _NAME.fullmatch(first) is not None and bool(path.strip())
    target = Path(typed_path(path.strip() if named else rest))
    picture = _picture(chat, first if named else "")
    write_picture(check_picture_output(target), picture.image)
    chat.screen.note(f"{picture.id} is saved as {target}.")


def _picture(chat: Chat, name: str) -> ThreadImage:
    """A picture by `image_2` or `2`; the last one if nothing is named."""
    pictures = chat.thread.images
    if not name:
        if not pictures:
            raise UnknownImage("this thread has no picture yet: ask for one")
        return pictures[list(pictures)[-1]]
    number = _NAME.fullmatch(name)
    return pictures[f"image_{number[1]}" if number else name]


# --- ways back ---


def _undo(chat: Chat, rest: str) -> None:
    turns = _number(rest)
    chat.thread.undo(turns)
    _say_where(chat, f"Took back {_turns(turns)}")


def _redo(chat: Chat, rest: str) -> None:
    turns = _number(rest)
    chat.thread.redo(turns)
    _say_where(chat, f"Brought back {_turns(turns)}")


def _retry(chat: Chat, rest: str) -> None:
    chat.retry(rest or None)


def _branch(chat: Chat, rest: str) -> None:
    old = chat.thread.name
    chat.thread = chat.thread.branch(rest or None)
    chat.screen.note(f"Now on thread {chat.thread.name}; {old} stays as it is.")


def _resume(chat: Chat, rest: str) -> None:
    if chat.thread.unfinished is None:
        raise NothingPending("every turn of this thread is finished")
    chat.turn(chat.thread.resume_stream)


def _say_where(chat: Chat, done: str) -> None:
    history = chat.thread.history()
    now = f"the last one is now {history[-1].number}, {history[-1].request.text!r}" if history else "none is left"
    chat.screen.note(f"{done}; {now}.")


# --- threads ---


def _thread(chat: Chat, rest: str) -> None:
    if rest:
        chat.enter(chat.agent.thread(rest))
    else:
        chat.screen.say(chat.thread.name)


def _threads(chat: Chat, rest: str) -> None:
    names = chat.agent.threads()
    marks = {chat.thread.name: "* "}
    chat.screen.say("\n".join(marks.get(name, "  ") + name for name in names) or "There are no threads yet.")


def _delete(chat: Chat, rest: str) -> None:
    if not rest:
        raise InvalidRequest("which thread? Give its name: it is gone for good")
    thread = chat.agent.thread(rest, must_exist=True)
    thread.delete()
    chat.screen.note(f"Thread {rest} is deleted.")
    if rest == chat.thread.name:
        chat.enter(chat.agent.thread())


def _history(chat: Chat, rest: str) -> None:
    lines = []
    for turn in chat.thread.history():
        lines.append(f"{turn.number}. {turn.request.text}")
        lines += [f"   {described(record)}" for record in turn.images]
        lines.append(f"   {turn.text}")
    chat.screen.say("\n".join(lines) or "Nothing has been asked yet.")


def _trace(chat: Chat, rest: str) -> None:
    from genllava_agent.outputs import check_output

    target = Path(typed_path(rest or "genllava-trace.html"))
    check_output(target)
    chat.screen.note(f"The last turn is written down in {chat.thread.trace(target)}.")


# --- the program ---


def _help(chat: Chat, rest: str) -> None:
    usages = [f"/{name} {command.usage}".rstrip() for name, command in COMMANDS.items()]
    width = max(map(len, usages))
    texts = [command.help for command in COMMANDS.values()]
    lines = [f"{usage:{width}}  {text}" for usage, text in zip(usages, texts, strict=True)]
    chat.screen.say("\n".join([*lines, "Whatever else you type is a request; Ctrl-C cancels the one that is running."]))


def _quit(chat: Chat, rest: str) -> None:
    chat.running = False


def _number(text: str) -> int:
    if not text:
        return 1
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidRequest(f"how many turns? {text!r} is not a number")
    return int(text)


def _turns(number: int) -> str:
    return "1 turn" if number == 1 else f"{number} turns"


COMMANDS: Final = {
    "image": Command("PATH", "show the model a picture with your next request", _image),
    "detach": Command("", "take off what is attached to your next request", _detach),
    "images": Command("", "list the pictures of this thread", _images),
    "show": Command("[NAME]", "show a picture again, the last one if none is named", _show),
    "save": Command("[NAME] PATH", "write a picture to a .png, .jpg or .webp file", _save),
    "undo": Command("[N]", "take back the last turn, or the last N", _undo),
    "redo": Command("[N]", "bring back what was taken back", _redo),
    "retry": Command("[OTHER WORDS]", "ask the last request again, with another seed", _retry),
    "branch": Command("[NAME]", "go on from here on a thread of its own", _branch),
    "resume": Command("", "run a turn again that was cut off", _resume),
    "thread": Command("[NAME]", "go on with another thread, or say which one this is", _thread),
    "threads": Command("", "list all threads", _threads),
    "delete": Command("NAME", "forget a thread and its pictures", _delete),
    "history": Command("", "list the turns of this thread", _history),
    "trace": Command("[PATH]", "write a page about the last turn: its choices, pictures and times", _trace),
    "help": Command("", "list the commands", _help),
    "quit": Command("", "leave; so does Ctrl-D", _quit),
}
