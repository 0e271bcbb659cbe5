"""The pictures of a thread, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava_agent.errors import UnknownImage
from genllava_agent.records import ImageRecord, image_name

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.pages.lineage import Lineage
    from genllava_agent.stores.base import Artifacts


_SMALL: Final = 128
_SHOWN: Final = 50
"""Side of a picture among others in a notebook, and how many are shown at most: the last ones."""


class ThreadImage:
    """A picture of a thread.

    Attributes:
        id: its name there, `image_3`.
        record: where it comes from.
    """

    def __init__(self, record: ImageRecord, store: Artifacts, records: Mapping[str, ImageRecord]) -> None:
        self.id = record.id
        self.record = record
        self._store = store
        self._records = records

    @property
    def image(self) -> Image.Image:
        """Its pixels, RGB; RGBA, where it has transparency.

        Raises:
            ThreadQuarantined: what is stored is damaged.
        """
        return self._store.layer(self.record)

    def save(self, path: str | Path) -> None:
        """Write it to a file, whole or not at all, in the format that its name says: .png, .jpg or .webp. A JPEG is
        white where it is transparent.

        Raises:
            InvalidRequest: another format, or a place that cannot be written to.
        """
        from genllava_agent.files import check_picture_output, write_picture

        target = check_picture_output(Path(path))
        jpeg = target.suffix.lower() in (".jpg", ".jpeg")
        write_picture(target, self._store.picture(self.record) if jpeg else self.image)

    def show(self) -> None:
        """Open it in the system's viewer."""
        self.image.show()

    def lineage(self) -> Lineage:
        """The pictures it was made from, and those that they were made from."""
        from genllava_agent.pages.lineage import Lineage

        return Lineage(self.id, self._records, lambda name: self._store.picture(self._records[name]))

    def _repr_png_(self) -> bytes:
        from genllava_tools.picture_files import png_bytes

        return png_bytes(self.image)

    def __repr__(self) -> str:
        record = self.record
        told = [record.origin, f"{record.width}x{record.height}", record.plan or record.label]
        return f"<{self.id}: {', '.join(each for each in told if each)}>"


class ThreadImages(Mapping[str, ThreadImage]):
    """The pictures of a thread as it stands, in their order; by name (`image_2`) or by number (2)."""

    def __init__(self, records: Mapping[str, ImageRecord], store: Artifacts) -> None:
        self._records = records
        self._store = store

    def __getitem__(self, name: str | int) -> ThreadImage:
        key = image_name(name) if isinstance(name, int) else name
        if not isinstance(key, str) or key not in self._records:
            raise UnknownImage.among(name, self._records)
        return ThreadImage(self._records[key], self._store, self._records)

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, (str, int)) and (image_name(name) if isinstance(name, int) else name) in self._records

    def __repr__(self) -> str:
        return f"<pictures: {', '.join(self._records) or 'none'}>"

    def _repr_html_(self) -> str:
        from genllava_agent.pages import markup

        names = list(self._records)
        left_out = len(names) - _SHOWN
        parts = [markup.aside(f"the last {_SHOWN} of {len(names)} pictures:")] if left_out > 0 else []
        parts += [markup.figure(self[name].image, self._records[name], _SMALL) for name in names[-_SHOWN:]]
        return "".join(parts) or markup.aside("no pictures so far")
