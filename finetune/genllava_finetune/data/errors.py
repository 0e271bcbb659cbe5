"""What data can be wrong with."""

from __future__ import annotations

from genllava.errors import GenLlavaError


class DataError(GenLlavaError):
    """A data set, or a file of one, cannot be read or written; the message names the file and says what to do."""


class RowError(DataError):
    """One row of a data set is malformed: it is left out and listed, and the others are kept."""
