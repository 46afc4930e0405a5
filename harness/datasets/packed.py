"""Images inside something larger: an archive or a table, read when they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnreadableImage

MAX_BYTES = 1 << 29
"""A packed image that claims to be larger is not read: a small zip can claim any size."""


@dataclass(frozen=True, slots=True)
class Container:
    """A file that holds images, as it was when its images were listed."""

    path: Path
    size: int
    changed: int
    """Nanoseconds; a rewritten container has other images, so nothing cached from it is reused."""

    @classmethod
    def of(cls, path: Path) -> Container:
        """The file at a path as it is now."""
        now = path.stat()
        return cls(path.absolute(), now.st_size, now.st_mtime_ns)

    def check(self, image: object) -> None:
        """Refuse to read at an offset of a file that was rewritten; tars are padded, so length alone does not tell.

        Raises:
            UnreadableImage: it is gone or was replaced.
        """
        try:
            now = self.path.stat()
        except OSError as error:
            raise UnreadableImage(f"{image} cannot be read ({error.strerror}); put the file back") from error
        if (now.st_size, now.st_mtime_ns) != (self.size, self.changed):
            raise UnreadableImage(f"{image} cannot be read: the file has changed since its images were listed; run again")


def _check_bytes(size: int, image: object) -> None:
    if size > MAX_BYTES:
        raise UnreadableImage(f"{image} cannot be read: it claims {size:,} bytes, and {MAX_BYTES:,} are the most")


def _damaged(image: object, error: BaseException) -> UnreadableImage:
    return UnreadableImage(f"{image} cannot be read ({str(error) or type(error).__name__}); fetch the archive again")
