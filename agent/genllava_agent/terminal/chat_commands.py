"""The commands of a chat: lines that begin with a slash."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava.errors import InvalidRequest
from genllava_agent.errors import NothingPending, UnknownImage
from genllava_agent.pages.markup import counted
from genllava_agent.terminal.chat_screen import described
from genllava_agent.terminal.conversation import Conversation

if TYPE_CHECKING:
    from genllava_agent.pictures import ThreadImage


def run_command(chat: Conversation, line: str) -> None:
    """Do what a line that begins with a slash says.

    Raises:
        InvalidRequest: there is no such command, or it cannot be done like that.
    """
    name, _, rest = line[1:].partition(" ")
    if name.lower() not in COMMANDS:
        hint = f"; to show the model that picture: /image {line}" if "/" in name or Path(line).is_file() else ""
        raise InvalidRequest(f"there is no command /{name}: /help lists them{hint}")
    usage, _, work = COMMANDS[name.lower()]
    if not usage and rest.strip():
        raise InvalidRequest(f"/{name} takes nothing after it: {rest.strip()!r}")
    work(chat, rest.strip())


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


# --- what they do: each is given what follows its name ---


def _image(chat: Conversation, rest: str) -> None:
    from genllava.images import picture_notes
    from genllava_agent.inputs import read_picture

    path = typed_path(rest)
    picture = read_picture(path, from_stdin=False)
    chat.attached.append(str(Path(path).absolute()))
    chat.screen.picture(picture)
    chat.screen.note(f"Attached to your next request: {Path(path).name}, {picture.width}x{picture.height}.")
    for note in picture_notes(picture):
        chat.screen.note(f"Note: {note}")


def _detach(chat: Conversation, rest: str) -> None:
    if not chat.attached:
        raise InvalidRequest("nothing is attached to your next request")
    chat.screen.note(f"Took off {counted(len(chat.attached), 'picture')}.")
    chat.attached = []


def _images(chat: Conversation, rest: str) -> None:
    lines = [described(picture.record) for picture in chat.thread.images.values()]
    lines += [f"with your next request: {path}" for path in chat.attached]
    chat.screen.say("\n".join(lines) or "There are no pictures yet.")


def _show(chat: Conversation, rest: str) -> None:
    picture = _picture(chat, rest)
    shown = chat.screen.picture(picture.image)
    chat.screen.say(described(picture.record) + ("" if shown else f"; /save {picture.id} PATH writes it to a file"))


def _save(chat: Conversation, rest: str) -> None:
    first, _, path = rest.partition(" ")
    if not (path.strip() and first.removeprefix("image_").isdecimal()):
        first, path = "", rest
    target = typed_path(path.strip())
    picture = _picture(chat, first)
    picture.save(target)
    chat.screen.note(f"{picture.id} is saved as {target}.")


def _picture(chat: Conversation, name: str) -> ThreadImage:
    """A picture by `image_2` or `2`; the last one if nothing is named."""
    pictures = chat.thread.images
    if not name and not pictures:
        raise UnknownImage("this thread has no picture yet: ask for one")
    return pictures[f"image_{name}" if name.isdecimal() else name or list(pictures)[-1]]


def _undo(chat: Conversation, rest: str) -> None:
    _moved(chat, rest, chat.thread.undo, "Took back")


def _redo(chat: Conversation, rest: str) -> None:
    _moved(chat, rest, chat.thread.redo, "Brought back")


def _moved(chat: Conversation, rest: str, move: Callable[[int], None], done: str) -> None:
    """Undo or redo as many turns as were typed, one if none were, and say where the thread is then."""
    if rest and not (rest.isascii() and rest.isdecimal() and len(rest) < 10):
        raise InvalidRequest(f"how many turns? {rest!r} is not a number")
    turns = int(rest or 1)
    move(turns)
    history = chat.thread.history()
    now = f"the last one is now {history[-1].number}, {history[-1].request.text!r}" if history else "none is left"
    chat.screen.note(f"{done} {counted(turns, 'turn')}; {now}.")


def _branch(chat: Conversation, rest: str) -> None:
    old = chat.thread.name
    chat.thread = chat.thread.branch(rest or None)
    chat.screen.note(f"Now on thread {chat.thread.name}; {old} stays as it is.")


def _resume(chat: Conversation, rest: str) -> None:
    if chat.thread.unfinished is None:
        raise NothingPending("every turn of this thread is finished")
    chat.turn(chat.thread.resume_stream)


def _thread(chat: Conversation, rest: str) -> None:
    if rest:
        chat.enter(chat.agent.thread(rest))
    else:
        chat.screen.say(chat.thread.name)


def _threads(chat: Conversation, rest: str) -> None:
    lines = [("* " if name == chat.thread.name else "  ") + name for name in chat.agent.threads()]
    chat.screen.say("\n".join(lines) or "There are no threads yet.")


def _delete(chat: Conversation, rest: str) -> None:
    if not rest:
        raise InvalidRequest("which thread? Give its name: it is gone for good")
    chat.agent.thread(rest, must_exist=True).delete()
    chat.screen.note(f"Thread {rest} is deleted.")
    if rest == chat.thread.name:
        chat.enter(chat.agent.thread())


def _history(chat: Conversation, rest: str) -> None:
    lines = []
    for turn in chat.thread.history():
        pictures = [f"   {described(record)}" for record in turn.images]
        lines += [f"{turn.number}. {turn.request.text}", *pictures, f"   {turn.text}"]
    chat.screen.say("\n".join(lines) or "Nothing has been asked yet.")


def _trace(chat: Conversation, rest: str) -> None:
    written = chat.thread.trace(typed_path(rest or "genllava-trace.html"))
    chat.screen.note(f"The last turn is written down in {written}.")


def _help(chat: Conversation, rest: str) -> None:
    lines = [f"{f'/{name} {usage}':20}  {says}" for name, (usage, says, _) in COMMANDS.items()]
    chat.screen.say("\n".join([*lines, "Whatever else you type is a request; Ctrl-C cancels the one that is running."]))


def _quit(chat: Conversation, rest: str) -> None:
    chat.running = False


COMMANDS: Final[dict[str, tuple[str, str, Callable[[Conversation, str], None]]]] = {
    "image": ("PATH", "show the model a picture with your next request", _image),
    "detach": ("", "take off what is attached to your next request", _detach),
    "images": ("", "list the pictures of this thread", _images),
    "show": ("[NAME]", "show a picture again, the last one if none is named", _show),
    "save": ("[NAME] PATH", "write a picture to a .png, .jpg or .webp file", _save),
    "undo": ("[N]", "take back the last turn, or the last N", _undo),
    "redo": ("[N]", "bring back what was taken back", _redo),
    "retry": (
        "[OTHER WORDS]",
        "ask the last request again, with another seed",
        lambda chat, rest: chat.retry(rest or None),
    ),
    "branch": ("[NAME]", "go on from here on a thread of its own", _branch),
    "resume": ("", "go on with a turn that was cut off", _resume),
    "thread": ("[NAME]", "go on with another thread, or say which one this is", _thread),
    "threads": ("", "list all threads", _threads),
    "delete": ("NAME", "forget a thread and its pictures", _delete),
    "history": ("", "list the turns of this thread", _history),
    "trace": ("[PATH]", "write a page about the last turn: its choices, pictures and times", _trace),
    "help": ("", "list the commands", _help),
    "quit": ("", "leave; so does Ctrl-D", _quit),
}
"""What follows the name of each when it is typed, what it does in words, and what does it."""
