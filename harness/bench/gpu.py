"""What has to be seen on a GPU before its texts and its speed are believed, in some minutes and on one page.

Tokens are the same at every batch size, on the CPU, in any company and a second time; how many are the same in bfloat16; how much
faster each method is than the published program; how many pictures a second are captioned, files read; how much memory it takes.

On a machine without a GPU the same runs on the stand-in device of `decoders.testing`. Its times would mean nothing, so kernel
launches, waits and copies are counted instead.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from decoders.base import Decoder, Prompt
from decoders.models.devices import free_memory, is_memory_error
from decoders.models.images import open_image
from decoders.testing import Counts
from harness.bench.meters import Clock, describe_machine, processor, synchroniser
from harness.bench.scenarios import SCENARIOS, Scenario, Setup, Stage, Tokens
from harness.bench.stand_ins import pictures
from harness.store.durable import Progress, no_progress
from harness.store.markdown import markdown_table

METHODS = ("magic-coco", "zerocap", "contrastive-stories", "nucleus")
"""Scenarios of `bench published`."""
_SLOW = {"zerocap": 8}
"""Scenarios that compare fewer texts than the others."""
_ON_CPU = 8
"""Texts that the CPU decodes too, at most."""
_PICTURE = (640, 480)
"""Width and height of the pictures, as photographs of MS-COCO have them."""


@dataclass(frozen=True, slots=True)
class GpuSetup:
    """What is measured, and for how long."""

    device: str
    methods: tuple[str, ...] = METHODS
    same_at: tuple[int, ...] = (1, 8, 32, 128)
    """Batch sizes whose tokens have to be the same."""
    fast_at: tuple[int, ...] = (1, 8, 32, 128, 512)
    """Batch sizes whose speed is measured."""
    texts: int = 128
    """How many are compared."""
    pictures: int = 256
    """How many are captioned from files."""
    minutes: float = 8.0
    """After which nothing new is begun; what is left out is named."""
    language_model: str | None = None
    """As in `bench published`."""
    image_text: str | None = None

    def of(self, **changes: Any) -> Setup:
        """A setup of `bench published` with these models."""
        given = {"device": self.device, "language_model": self.language_model, "image_text": self.image_text}
        return Setup(**given | changes)


Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A part of the page."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    left: tuple[int, ...] = (0, 1)
    """Columns of text."""


@dataclass(slots=True)
class Page:
    """All that was found."""

    machine: str
    tables: list[Table] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What was not measured, and why."""
    wrong: list[str] = field(default_factory=list)
    """Comparisons in float32 that are not equal though they have to be."""

    def markdown(self) -> str:
        """One page for documents."""
        lines = [f"{self.machine}."]
        for table in self.tables:
            lines += ["", f"**{table.title}**", "", markdown_table(table.heads, table.rows, table.left)]
        lines += ["", *(f"* Not equal: {what}." for what in self.wrong)]
        lines += [f"* Not measured: {what}." for what in self.left_out]
        return "\n".join(lines).rstrip() + "\n"


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one pass over some texts: time and memory on a real device, counts on the stand-in."""

    items: int
    seconds: float = 0.0
    peak: int = 0
    """Bytes that torch had reserved on the device at once, weights included; 0 where that is not known."""
    counts: Counts | None = None

    def cells(self) -> tuple[str, ...]:
        """Under `_heads`."""
        if self.counts is None:
            memory = f"{self.peak / 1e9:.2f}" if self.peak else "–"
            return (f"{self.seconds / self.items:.3g}", f"{self.items / self.seconds:.3g}", memory)
        counts = self.counts
        return tuple(f"{count / self.items:.0f}" for count in (counts.launches, counts.waits, counts.uploads, counts.downloads))


Counting = Callable[[], AbstractContextManager[Counts]]


class GpuBench:
    """One measurement; `run` makes the page.

    Args:
        setup: what is measured.
        counting: of the stand-in device; None on a real one.
        say: prints what is running.
        progress: called with parts done and due.
    """

    def __init__(
        self,
        setup: GpuSetup,
        *,
        counting: Counting | None = None,
        say: Callable[[str], None] = lambda _: None,
        progress: Progress = no_progress,
    ) -> None:
        self.setup, self._counting, self._say = setup, counting, say
        self._progress = progress
        self._end = time.monotonic() + 60 * setup.minutes
        self._page = Page(self._machine())

    def run(self) -> Page:
        """Measure everything there is time for: first whether the texts are right, then how fast they come."""
        methods = self.setup.methods
        for name in methods:
            self.setup.of().names(SCENARIOS[name], self._say)  # made before anything is measured
        tokens: list[Row] = []
        files: list[Row] = []
        speed: list[Row] = []
        parts: list[tuple[str, list[Row], Callable[[], Iterable[Row]]]] = [
            *((f"tokens of {name}", tokens, partial(self._agreement, SCENARIOS[name])) for name in methods),
            *(
                ("pictures from files", files, partial(self._pictures, SCENARIOS[name]))
                for name in methods
                if name == "magic-coco"
            ),
            *((f"speed of {name}", speed, partial(self._speed, SCENARIOS[name])) for name in methods),
        ]
        for done, (what, rows, part) in enumerate(parts):
            self._progress(done, len(parts))
            if self._in_time(what):
                self._measure(what, rows, part)
        self._progress(len(parts), len(parts))
        compared = ("method", "float32 is compared with", "texts", "same tokens", "tokens alike before the first other one")
        programs = ("method", "program", "batch", *self._heads)
        pictures = ("batch", *self._heads, "of it reading and scaling by one core, ms")
        unit, size = ("time" if self._counting is None else "counts"), "x".join(map(str, _PICTURE))
        self._page.tables += [
            Table("The same tokens", compared, tuple(tokens)),
            Table(f"Against the published programs, {unit} a text", programs, tuple(speed)),
            Table(f"Captions of {size} JPEG files with MAGIC, {unit} a picture", pictures, tuple(files), left=()),
        ]
        return self._page

    def _measure(self, what: str, rows: list[Row], part: Callable[[], Iterable[Row]]) -> None:
        """Add the rows of a part, as many as there are until memory is full."""
        try:
            rows.extend(part())
        except (MemoryError, RuntimeError) as error:
            if not is_memory_error(error):
                raise
            self._page.left_out.append(f"{what}, because memory was full ({str(error).splitlines()[0]})")
        else:
            return
        free_memory()  # behind the except block, where the frames of the attempt are gone

    def _machine(self) -> str:
        if self._counting is not None:
            return f"Not run on a GPU: counted on a stand-in for one, on {processor()}, torch {torch.__version__}"
        on = describe_machine(self.setup.device, "float32")
        cuda = f", CUDA {torch.version.cuda}" if torch.version.cuda else ""
        return f"{on['name']}, {on['device']}, host with {on['cores']} cores, torch {on['torch']}{cuda}"

    @property
    def _heads(self) -> tuple[str, ...]:
        if self._counting is None:
            return ("s", "in a second", "peak GB")
        return ("launches", "waits", "uploads", "downloads")

    def _in_time(self, what: str) -> bool:
        if time.monotonic() < self._end:
            return True
        self._page.left_out.append(f"{what}, because the time was over")
        return False

    # tokens

    def _agreement(self, scenario: Scenario) -> Iterator[Row]:
        """Rows of comparisons with the largest batch in float32."""
        texts = min(self.setup.texts, _SLOW.get(scenario.name, self.setup.texts))
        sizes = [size for size in self.setup.same_at if size <= texts]
        stage = self._stage(scenario, images=texts)
        prompts = stage.prompts(texts)
        whole = _decoded(stage.fresh_decoder(), prompts, sizes[-1])

        def row(what: str, compared: Sequence[Tokens], *, must: bool = True) -> tuple[str, ...]:
            same = sum(one == other for one, other in zip(compared, whole, strict=False))
            if must and same < len(compared):
                self._page.wrong.append(f"{scenario.name}, {what}: {len(compared) - same} of {len(compared)} texts")
            alike = sum(map(_alike, compared, whole)) / max(1, sum(map(len, whole[: len(compared)])))
            return (scenario.name, what, str(len(compared)), f"{same}/{len(compared)}", f"{100 * alike:.0f} %")

        for size in sizes[:-1]:
            if self._in_time(f"{scenario.name} at batch {size}"):
                some = prompts[: max(size, _ON_CPU)]
                yield row(f"batch {size} against {sizes[-1]}", _decoded(stage.fresh_decoder(), some, size))
        yield row("the same again", _decoded(stage.fresh_decoder(), prompts, sizes[-1]))
        backwards = _decoded(stage.fresh_decoder(), prompts, sizes[-1], backwards=True)
        yield row("in other company, last text first", backwards)
        if self._in_time(f"{scenario.name} on the CPU"):
            on_cpu = self._stage(scenario, images=texts, device="cpu")
            few = min(texts, _ON_CPU)
            yield row("the CPU", _decoded(on_cpu.fresh_decoder(), prompts[:few], few))
        if self._in_time(f"{scenario.name} in bfloat16"):
            rounded = self._stage(scenario, images=texts, dtype="bfloat16")
            yield row("bfloat16", _decoded(rounded.fresh_decoder(), prompts, sizes[-1]), must=False)

    def _stage(self, scenario: Scenario, **changes: Any) -> Stage:
        return Stage(scenario, self.setup.of(**changes), Clock(synchroniser(self.setup.device)))

    # speed

    def _speed(self, scenario: Scenario) -> Iterator[Row]:
        stage = self._stage(scenario, images=1, published_images=1, batch_sizes=self.setup.fast_at)
        for contestant in stage.contestants():
            what = f"{scenario.name}, {contestant.who} at batch {contestant.batch_size}"
            if self._in_time(what):
                self._say(what)
                yield (scenario.name, contestant.who, str(contestant.batch_size), *self._cells(contestant.items, contestant.work))

    def _pictures(self, scenario: Scenario) -> Iterator[Row]:
        stage = self._stage(scenario)
        decoder, count = stage.decoder, self.setup.pictures
        with tempfile.TemporaryDirectory(prefix="seetell-pictures-") as folder:
            files = [Path(folder) / f"{number}.jpg" for number in range(count)]
            for file, picture in zip(files, pictures(count), strict=True):
                picture.resize(_PICTURE).save(file, "JPEG", quality=90)
            start = time.perf_counter()
            for file in files:
                decoder.models.clip._preprocess(open_image(file))
            reading = f"{1000 * (time.perf_counter() - start) / count:.1f}"
            [prompt] = stage.prompts(1)
            prompts = [dataclasses.replace(prompt, id=str(number), image=file) for number, file in enumerate(files)]
            for size in [size for size in self.setup.same_at if size <= count][-2:]:
                if self._in_time(f"pictures at batch {size}"):

                    def work(size: int = size) -> list[Tokens]:
                        decoder.models.clip.forget()
                        return _decoded(stage.fresh_decoder(), prompts, size)

                    yield (str(size), *self._cells(count, work), reading)

    def _cells(self, items: int, work: Callable[[], object]) -> tuple[str, ...]:
        """What a pass costs; a batch that does not fit says so."""
        try:
            return self._cost(items, work).cells()
        except (MemoryError, RuntimeError) as error:
            if not is_memory_error(error):
                raise
        free_memory()
        return ("does not fit", *["–"] * (len(self._heads) - 1))

    def _cost(self, items: int, work: Callable[[], object]) -> _Cost:
        if self._counting is not None:
            with self._counting() as counts:
                work()
            return _Cost(items, counts=counts)
        cuda, wait = self.setup.device.startswith("cuda"), synchroniser(self.setup.device)
        work()  # kernels are chosen and memory is reserved in the first pass
        wait()
        if cuda:
            torch.cuda.reset_peak_memory_stats(self.setup.device)
        start = time.perf_counter()
        work()
        wait()
        return _Cost(items, time.perf_counter() - start, torch.cuda.max_memory_reserved(self.setup.device) if cuda else 0)


def _decoded(decoder: Decoder, prompts: Sequence[Prompt], size: int, *, backwards: bool = False) -> list[Tokens]:
    """The tokens of each prompt, in the order of the prompts; each has its own seed, wherever it stands."""
    order = list(range(len(prompts)))[:: -1 if backwards else 1]
    tokens: dict[int, Tokens] = {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        generations = decoder.decode([prompts[place] for place in batch], batch)
        tokens.update((place, generation.tokens) for place, generation in zip(batch, generations, strict=True))
    return [tokens[place] for place in range(len(prompts))]


def _alike(one: Tokens, other: Tokens) -> int:
    """Tokens before the first that differs."""
    for place, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return place
    return min(len(one), len(other))
