"""What goes over the wire: tasks and samples whose images the other machine may not see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from decoders.models.images import ImageLike
from harness.decode.executor import Task
from harness.errors import UnreadableImage
from harness.suites.examples import Sample


@dataclass(frozen=True, slots=True)
class ShippedImage:
    """The bytes of an image under the name that it has at home, so that messages are the same there and here."""

    place: str
    content: bytes

    def __str__(self) -> str:
        return self.place

    @property
    def name(self) -> str:
        """The file name."""
        return Path(self.place).name

    def read(self) -> bytes:
        """The bytes."""
        return self.content


def packed_task(task: Task) -> Task:
    """A task that needs none of this machine's files."""
    image = _packed(task.prompt.image)
    return task if image is task.prompt.image else replace(task, prompt=replace(task.prompt, image=image))


def packed_sample(sample: Sample) -> Sample:
    """A sample that needs none of this machine's files."""
    image = _packed(sample.example.image)
    return sample if image is sample.example.image else replace(sample, example=replace(sample.example, image=image))


def _packed(image: ImageLike | None) -> ImageLike | None:
    """The image with its bytes. One that cannot be read is left as it is, to fail there as it would have failed here."""
    if image is None or isinstance(image, bytes):
        return image
    try:
        content = image.read_bytes() if isinstance(image, Path) else image.read()
    except (OSError, UnreadableImage):
        return image
    return ShippedImage(str(image), content)
