"""Pictures as files of the site: small, named by their content, so that suites which show the same image share one file."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SeeTellError, UnreadableImage
from harness.suites.examples import Example, read_image


@dataclass(frozen=True, slots=True)
class Picture:
    """A file beside the pages."""

    file: str
    """From the site's folder on, such as `images/1f0c33ab5d7e9a02.webp`."""
    width: int
    height: int


class Pictures:
    """Writes the pictures of a site and remembers which it has written.

    Args:
        folder: of the site.
        size: longest side, in pixels; larger images are made smaller, never the other way round.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._known: dict[str, Picture] = {}
        self.files: set[str] = set()

    def add(self, example: Example) -> Picture | None:
        """The example's picture; None if it has none, or one that cannot be opened."""
        content = _content(example)
        if content is None:
            return None
        name = hashlib.sha256(b"%d\n" % self._size + content).hexdigest()[:16]
        if name not in self._known:
            picture = self._write(name, content)
            if picture is None:
                return None
            self._known[name] = picture
            self.files.add(picture.file)
        return self._known[name]

    def _write(self, name: str, content: bytes) -> Picture | None:
        from decoders.models.image_text import open_image

        try:
            image = open_image(content)
        except SeeTellError:
            return None
        image.thumbnail((self._size, self._size))
        file = f"images/{name}.webp"
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=80, method=4)
        # Not synced to the disk one by one: ten thousand of them would take minutes, and they can be made again.
        path = self._folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        beside.write_bytes(buffer.getvalue())
        beside.replace(path)
        return Picture(file, *image.size)


def _content(example: Example) -> bytes | None:
    try:
        return None if example.image is None else read_image(example.image)
    except UnreadableImage:
        return None
