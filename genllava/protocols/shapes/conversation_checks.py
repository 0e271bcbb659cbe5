"""What a conversation does so that nothing is said or drawn of pictures that cannot be read, or of none at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genllava.options import CancelCheck
from genllava.protocols.shapes import decoding, layout, replies, segments
from genllava.protocols.shapes.conversation_state import ConversationState
from genllava.protocols.shapes.noting import noted_captions
from genllava.protocols.shapes.reading import read, why_unread
from genllava.protocols.shapes.replies import Said
from genllava.protocols.shapes.stream import TokenStream
from genllava.protocols.shapes.tokens import BOS, I2I, USER_END, USER_START


class ConversationChecks(ConversationState):
    """A conversation that checks what the model noted and wrote before it goes on from there.

    What it decides follows from its tokens, its pictures and `seen` alone, so that it is the same where a conversation
    is replayed.
    """

    def _check_notes(self, cancel: CancelCheck | None) -> None:
        """Leave out of `seen` what was made up; where the request is about that, it says why that is not read."""
        if not self.pictures and self._parts.checks_itself:
            self.seen = ""
        elif self.seen and self._parts.checks_itself:
            (seen,) = read(self._parts, [self.seen], [self.pictures], cancel)
            asked = [] if why_unread(seen) else layout.spoken_of(seen)  # some were described earlier
            self.seen = next(filter(None, (self._why_unread(number, cancel) for number in asked)), seen)

    def _checked_action(self, allowed: Sequence[str], cancel: CancelCheck | None) -> dict[str, float]:
        """As `Conversation.next_action`: what cannot be read is not edited, but answered about."""
        alone = self._alone()
        likely = segments.task_probabilities(self._stream if alone is None else alone, [allowed])[0]
        unread = self._unread(cancel)
        if next(iter(likely)) == I2I and not all(self.pictures[number - 1].own for number in self._visible()):
            unread = self._why_unread(self._source(), cancel)
            self.seen = unread or self.seen
        return replies.checked_tasks(likely, self._understood(), unread)

    def _say(self, cancel: CancelCheck | None, on_text: Callable[[str], object] | None) -> Said:
        """Let the model answer, and put into the conversation what is said in its place, if anything is."""
        tokenizer = self._language.tokenizer
        if not self._parts.checks_itself:
            (written,) = segments.write_answers(self._stream, cancel, on_text)
            return Said(written.text)
        if not self._understood():
            self._stream.append(0, layout.answer(tokenizer, replies.OUTSIDE))
            said, shown = replies.not_understood(), ""
        else:
            unread, before, alone = self._unread(cancel), self._stream.mark(), self._alone()
            aloud = on_text if self.pictures and not unread else None  # else it may have to be taken back
            (written,) = segments.write_answers(self._stream if alone is None else alone, cancel, aloud)
            said = replies.said(written, len(self.pictures), unread, noted=bool(self.seen))
            shown = written.text if said.text.startswith(written.text) else ""
            if alone is not None or not shown:
                self._stream.rollback(before)
                self._stream.append(0, layout.answer(tokenizer, shown or replies.OUTSIDE))
        if on_text is not None and said.text != shown:
            on_text(said.text)
        return said

    def _understood(self) -> bool:
        """Whether there are words in the request that the model knows, if there is any."""
        ids = self._request_ids()
        return not ids or replies.has_known_words(self._language.tokenizer, ids)

    def _unread(self, cancel: CancelCheck | None) -> str:
        """Why the picture that is asked about cannot be read, which is the one described last; empty if it can."""
        if self.seen:
            return why_unread(self.seen)
        described = noted_captions(self._language, self._stream.ids[0])
        return self._why_unread(described[-1][0], cancel) if described else ""

    def _why_unread(self, number: int, cancel: CancelCheck | None) -> str:
        """Why a picture cannot be read; empty if it can."""
        if not self._parts.checks_itself or self.pictures[number - 1].own:
            return ""
        caption = self.captions.get(number) or self._caption(number, cancel)
        seen = f"{layout.picture_prefix(number)} {caption}"
        return why_unread(*read(self._parts, [seen], [self.pictures], cancel))

    def _source(self) -> int:
        """The number of the picture that the model would edit now."""
        aside, tokenizer = self._stream.aside([0]), self._language.tokenizer
        prefixes = {n: layout.text_ids(tokenizer, layout.picture_prefix(n)) for n in self._visible()}
        aside.append(0, [self._language.id(I2I)])
        longest = max(map(len, prefixes.values()))
        (ids,) = decoding.write(aside, stops=[], max_tokens=longest, prefixes=[list(prefixes.values())])
        return next(number for number, prefix in prefixes.items() if ids[: len(prefix)] == prefix)

    def _alone(self) -> TokenStream | None:
        """The request by itself, where there is no picture: what was said before has no part in it. Else None.

        The model was taught that as well, and to note things then that are in no picture. Nobody sees these notes.
        """
        language, request = self._language, self._request_ids()
        if self.pictures or not request:
            return None
        stream = TokenStream(language).aside([0])
        stream.append(0, [language.id(token) for token in (BOS, USER_START)])
        stream.append(0, [*request, language.id(USER_END)])
        segments.look(stream)
        return stream

    def _caption(self, number: int, cancel: CancelCheck | None) -> str:
        """What the model sees in one of the pictures by itself, whether it can read it or not."""
        language, stream = self._language, TokenStream(self._language).aside([0])
        turn = layout.user_turn(language.tokenizer, layout.DESCRIBE, [1], language.tokens_per_image)
        stream.append(0, [language.id(BOS), *turn], self._see([self.pictures[number - 1]]))
        (looked,) = segments.look(stream, cancel=cancel)
        return layout.noted_caption(looked.seen, 1)
