"""Who does the decoding. One worker loads the models and turns batches of tasks into records; an executor owns workers.

The worker is one of the two places that may catch broadly: a decoder is foreign code. What a user can put right in the
data becomes a typed failure of its example; anything else stops the run with the cause attached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from decoders.base import Decoder, Generation, Limits, Need, Prompt
from decoders.models.arithmetic import pinned_arithmetic
from decoders.models.devices import Fit, is_memory_error, pick_device
from decoders.models.loaded import Models
from harness.errors import DecoderFailed, OutOfMemory, PromptTooLong, SeeTellError, UnreadableImage
from harness.store.runs import Key, Record
from harness.suites import registry
from harness.suites.examples import Failure
from harness.suites.sections import checked
from harness.suites.spec import RunSpec
from harness.suites.wording import RULES

EXAMPLE_ERRORS = (UnreadableImage, PromptTooLong)
"""What is wrong with one example and none of its neighbours' business."""


Notice = Callable[[str], None]
"""Called with what the user should read while the run continues."""


@dataclass(frozen=True, slots=True)
class Task:
    """One text to decode."""

    key: Key
    prompt: Prompt
    seed: int


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker needs to know before its first task. It can be sent to another process."""

    spec: RunSpec
    captions: tuple[str, ...] | None
    """What retrieval chooses from."""
    device: str
    """As the user named it; who decodes decides what `auto` is there."""
    cache: Path
    """Where features that take long to compute are kept."""
    captions_index: Path | None = None
    """A built index over the captions, whose features are taken instead of computing them."""


class Executor(Protocol):
    """Decodes tasks in batches and hands back records batch by batch, in any order."""

    def run(self, job: Job, tasks: Sequence[Task], batch_size: int) -> Iterator[list[Record]]:
        """Decode every task once."""
        ...


class InlineExecutor:
    """Everything in this process, one batch after another."""

    def __init__(self, notice: Notice = lambda _: None) -> None:
        self.notice = notice

    def run(self, job: Job, tasks: Sequence[Task], batch_size: int) -> Iterator[list[Record]]:
        """Decode in order; see `Worker.decode` for what happens when memory runs out."""
        worker = Worker(job, self.notice)
        return worker.batches(tasks, batch_size)


class Worker:
    """Models and a decoder, loaded once."""

    def __init__(self, job: Job, notice: Notice = lambda _: None) -> None:
        self.job = job
        self._fit = Fit(lambda tasks, smaller: notice(f"out of memory with {tasks} examples at once; continuing with {smaller}"))
        with pinned_arithmetic(job.spec.dtype):
            self.decoder = make_decoder(job)

    def batches(self, tasks: Sequence[Task], batch_size: int) -> Iterator[list[Record]]:
        """Decode batch by batch. A batch that does not fit is halved, and so are those after it, until larger ones fit again.

        Raises:
            OutOfMemory: one example alone does not fit.
        """
        done = 0
        try:
            for records in self._fit.batches(tasks, batch_size, self.decode):
                done += len(records)
                yield records
        except (MemoryError, RuntimeError) as error:
            if not is_memory_error(error):
                raise
            raise OutOfMemory(
                f"one example ({tasks[done].key[0]!r}) does not fit {pick_device(self.job.device)}: {error}. Use a smaller "
                "model, shorter texts or another --device"
            ) from error

    def decode(self, tasks: Sequence[Task]) -> list[Record]:
        """Decode one batch. An example that cannot be decoded is found by halving and becomes a failed record.

        Raises:
            DecoderFailed: the decoder raised something of its own, or its answer breaks the contract.
            MemoryError, RuntimeError: the batch does not fit the device.
        """
        try:
            with pinned_arithmetic(self.job.spec.dtype):
                generations = self.decoder.decode([task.prompt for task in tasks], [task.seed for task in tasks])
        except EXAMPLE_ERRORS as error:
            if len(tasks) == 1:
                return [Record(*tasks[0].key, failure=Failure(type(error).__name__, str(error)))]
            middle = len(tasks) // 2
            return self.decode(tasks[:middle]) + self.decode(tasks[middle:])
        except SeeTellError:
            raise
        except Exception as error:  # the worker boundary: a decoder may raise anything
            if is_memory_error(error):
                raise
            raise self._failed(tasks, error) from error
        return self._records(tasks, generations)

    def _records(self, tasks: Sequence[Task], generations: Sequence[Generation]) -> list[Record]:
        check_generations(self.job.spec.label, generations, len(tasks))
        cut = self._cut
        return [
            Record(*task.key, text=cut(generation.text), tokens=tuple(generation.tokens), finish=generation.finish)
            for task, generation in zip(tasks, generations, strict=True)
        ]

    def _cut(self, text: str) -> str:
        """A text as it is stored: no longer than the suite wants. Its tokens stay, so nothing that was decoded is lost."""
        spec = self.job.spec
        return text if spec.sentences is None else RULES[spec.sentences_by](text, spec.sentences)

    def _failed(self, tasks: Sequence[Task], error: BaseException) -> DecoderFailed:
        examples = ", ".join(repr(task.key[0]) for task in tasks[:3]) + (", ..." if len(tasks) > 3 else "")
        return DecoderFailed(
            f"the decoder {self.job.spec.label!r} raised {type(error).__name__}: {error} (examples {examples}). What was "
            "decoded before is kept; set SEETELL_TRACEBACK=1 to see where it happened"
        )


def check_generations(label: str, generations: Sequence[Generation], prompts: int) -> None:
    """Refuse an answer of a decoder that is not one generation a prompt.

    Raises:
        DecoderFailed: naming the decoder and what it returned.
    """
    if not isinstance(generations, Sequence):
        raise DecoderFailed(f"the decoder {label!r} must return a list of Generation; it returned {type(generations).__name__}")
    kinds = {type(generation).__name__ for generation in generations if not isinstance(generation, Generation)}
    if kinds:
        raise DecoderFailed(f"the decoder {label!r} must return a list of Generation; its list holds {', '.join(sorted(kinds))}")
    if len(generations) != prompts:
        raise DecoderFailed(
            f"the decoder {label!r} returned {len(generations)} texts for {prompts} prompts; expected one text a prompt"
        )


def make_decoder(job: Job) -> Decoder:
    """The decoder of a job with the models it needs, and none that it does not."""
    spec = job.spec
    plugins = registry.decoders()
    plugin, code = plugins.load(spec.decoder), plugins.code(spec.decoder)
    if spec.code is not None and (code is None or code.digest() != spec.code):
        raise DecoderFailed(
            f"the decoder {spec.decoder!r} has other code here than where the run was planned; install the same version of its "
            "distribution on every machine"
        )
    config = checked(plugin.Config, spec.config, f"[decoders.{spec.label}]")
    limits = Limits(spec.max_new_tokens, spec.max_length)
    return plugin(config, load_models(job, plugin.needs), limits)


def load_models(job: Job, needs: frozenset[Need]) -> Models:
    """Load what is needed. The loaders remember, so decoders of one process share their models."""
    from decoders.models import load
    from harness.store.lock import use_fetched_models

    use_fetched_models()  # a worker of another process starts without
    spec = job.spec
    device = pick_device(job.device)
    language_model = image_text = index = None
    if Need.LM in needs and spec.language_model:
        language_model = load.load_language_model(spec.language_model.name, dtype=spec.dtype, device=device)
    if needs & {Need.CLIP, Need.INDEX} and spec.image_text:
        image_text = load.load_image_text(spec.image_text.name, dtype=spec.dtype, device=device)
    if Need.INDEX in needs and job.captions is not None and image_text is not None:
        from harness.datasets.index.captions import built_index, caption_index

        if job.captions_index is not None:
            index = built_index(job.captions_index, job.captions, image_text)
        else:
            index = caption_index(job.captions, image_text, job.cache)
    return Models(language_model, image_text, index)
