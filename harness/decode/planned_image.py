"""An image as it was when a run was planned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from decoders.models.images import ImageLike
from harness.errors import DataError, UnreadableImage
from harness.suites.examples import read_image


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image that is read only if it still has the bytes that the run's identity is about."""

    source: ImageLike
    sha256: str
    """Of its bytes when the run was planned."""

    def __str__(self) -> str:
        return f"an image of {len(self.source)} bytes" if isinstance(self.source, bytes) else str(self.source)

    @property
    def name(self) -> str:
        """The file name; empty for bare bytes."""
        return "" if isinstance(self.source, bytes) else self.source.name

    def read(self) -> bytes:
        """The bytes.

        Raises:
            DataError: they are others than when the run was planned, or cannot be read any more.
        """
        remedy = "what was decoded before is kept; run the suite again, which plans it with the images as they are then"
        try:
            content = read_image(self.source)
        except UnreadableImage as error:
            raise DataError(f"{self} could be read when the run was planned, and now cannot ({error}); {remedy}") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError(f"{self} has changed since the run was planned, so its text would be of another image; {remedy}")
        return content
