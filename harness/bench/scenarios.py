"""Each method as its authors published it and as SeeTell does it, in turn, on the same images and in one process.

Yardstick and product take turns within each repeat, so that a slow moment of the machine hits both; the ratio is taken
within each repeat and its median is what counts. Both read and encode their images each time. The yardstick does one image
at a time because the published programs do; it may be given fewer images, since each of them costs it the same.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from decoders.base import Decoder, Limits, Prompt
from decoders.loop import room_for
from decoders.models.load import load_image_text, load_language_model
from decoders.models.loaded import Models
from harness.bench import stand_ins, yardsticks
from harness.bench.memory import measure_memory
from harness.bench.meters import (
    Clock,
    MachineRate,
    Part,
    Spread,
    count_flops,
    describe_machine,
    synchroniser,
    system_load,
    watching,
)
from harness.bench.stand_ins import picture_files
from harness.bench.yardsticks import Published, until_end
from harness.errors import SuiteError, did_you_mean
from harness.store.durable import Progress, no_progress
from harness.suites import registry

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A method with its published settings, and what it is given."""

    name: str
    what: str
    """In a line."""
    decoder: str
    config: dict[str, Any]
    limits: Limits
    kind: Literal["captions", "stories"] = "captions"
    batch_sizes: tuple[int, ...] = (1, 8, 32)
    note: str = ""
    """What about it is not as published."""

    @property
    def sees(self) -> bool:
        """Whether the decoder takes an image."""
        return self.decoder in ("magic", "zerocap")

    def changed(self, k: int | None, new_tokens: int | None) -> Scenario:
        """With another number of candidates or another length, where it has them."""
        changed = self
        if k is not None and "k" in self.config:
            changed = dataclasses.replace(changed, name=f"{changed.name} k={k}", config={**self.config, "k": k})
        if new_tokens is not None:
            changed = dataclasses.replace(changed, name=f"{changed.name} {new_tokens} tokens", limits=Limits(new_tokens), note="")
        return changed


_STORY = Limits(max_length=100)
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("magic-coco", "MAGIC search, MS-COCO settings: 45 candidates, 15 new tokens", "magic",
                 {"k": 45, "alpha": 0.1, "beta": 2.0}, Limits(15)),
        Scenario("magic-flickr", "MAGIC search, Flickr30k settings: 25 candidates, 19 new tokens", "magic",
                 {"k": 25, "alpha": 0.1, "beta": 2.0}, Limits(19)),
        Scenario("magic-stories", "MAGIC search, story settings: 5 candidates, 100 tokens with the title", "magic",
                 {"k": 5, "alpha": 0.6, "beta": 0.15}, _STORY, "stories"),
        Scenario("contrastive-stories", "contrastive search, story settings: 5 candidates, 100 tokens", "contrastive",
                 {"k": 5, "alpha": 0.6}, _STORY, "stories"),
        Scenario("zerocap", "ZeroCap as MAGIC's comparison ran it: one beam", "zerocap",
                 {"variant": "magic-repo", "normalise": "joint"}, Limits(4), batch_sizes=(1, 8),
                 note="4 of the 16 tokens of a caption, for both"),
        Scenario("zerocap-beams", "ZeroCap as its authors published it: five beams", "zerocap",
                 {"variant": "upstream", "normalise": "joint"}, Limits(2), batch_sizes=(1, 8),
                 note="2 of the 15 tokens of a caption, for both"),
        Scenario("greedy", "greedy decoding against `generate` of transformers, at the same batch size", "greedy", {},
                 Limits(15)),
        Scenario("nucleus", "nucleus sampling against `generate` of transformers, at the same batch size", "nucleus",
                 {"p": 0.95}, Limits(15)),
    )
}  # fmt: skip
DEFAULT_SCENARIOS = ("magic-coco", "contrastive-stories", "greedy", "nucleus")
_TITLES = ("A walk on the beach", "The lost dog", "First day at school", "Rain", "My new bike", "The big game", "Lunch")
_WITH = ("Tom", "my sister", "an old friend", "the neighbours", "Grandma", "two strangers", "Mia", "the whole class")


def title(number: int) -> str:
    """Of a story; the first 56 differ."""
    return f"{_TITLES[number % len(_TITLES)]} with {_WITH[number // len(_TITLES) % len(_WITH)]}"


@dataclass(frozen=True, slots=True)
class Setup:
    """What is the same for all scenarios of a run."""

    device: str = "cpu"
    dtype: str = "float32"
    """Of the product; the published programs are float32."""
    images: int = 8
    """How many the product gets; a batch size above it gets one batch."""
    published_images: int = 2
    """How many the yardstick gets."""
    repeats: int = 3
    batch_sizes: tuple[int, ...] = ()
    """Instead of each scenario's own."""
    language_model: str | None = None
    """A name for `decoders.models.load`; None for the stand-in of the published size."""
    image_text: str | None = None

    def names(self, scenario: Scenario, say: Callable[[str], None] = lambda _: None) -> tuple[str, str | None]:
        """Names of the models to load for a scenario; the stand-ins are made if need be."""
        lm = self.language_model or stand_ins.language_model(scenario.kind, say)
        return lm, (self.image_text or stand_ins.image_text(say)) if scenario.sees else None


@dataclass
class Contestant:
    """One program at one batch size."""

    who: Literal["published", "seetell"]
    batch_size: int
    items: int
    """Texts in one pass."""
    work: Callable[[], list[Tokens]]
    """One pass; the new tokens of each text, end token included."""
    seconds: list[float] = field(default_factory=list)
    """Of each repeat, a text."""
    parts: list[dict[Part, float]] = field(default_factory=list)
    outputs: list[Tokens] = field(default_factory=list)
    flops: int = 0
    """Of one pass."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was found about one program at one batch size; everything is per text."""

    scenario: str
    note: str
    who: Literal["published", "seetell"]
    batch_size: int
    items: int
    seconds: Spread
    parts: dict[str, float]
    """Median seconds."""
    gigaflops: float
    gigaflops_per_second: float
    share: float
    """Of the fastest matrix product that this machine showed in the same run and dtype."""
    tokens: float
    """Mean length of the texts."""
    ratio: Spread | None
    """Times as fast as the yardstick, within each repeat; None for the yardstick."""
    equal: int | None
    """Texts whose tokens are those of the yardstick; None where there is nothing to compare."""
    compared: int
    memory: dict[str, int] | None = None
    """Bytes; see `harness.bench.memory`."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**dataclasses.asdict(self), "texts_per_second": 1 / self.seconds.median}


class Stage:
    """The models of a scenario, loaded, and the two programs ready to run.

    Args:
        scenario: what is run.
        setup: how.
        clock: counts the parts of both.
        apart: load the yardstick's models apart from the product's, as timing needs it; memory is measured with one copy.
    """

    def __init__(self, scenario: Scenario, setup: Setup, clock: Clock, *, apart: bool = True) -> None:
        self.scenario, self.setup, self.clock, self._apart = scenario, setup, clock, apart
        self.names = setup.names(scenario)
        self._published: Published | None = None
        self._decoder: Decoder | None = None
        self._files = picture_files(max([setup.images, setup.published_images, *self.batch_sizes]))

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Of the product."""
        return self.setup.batch_sizes or self.scenario.batch_sizes

    def fresh_decoder(self) -> Decoder:
        """The product as at the start of a run: what it remembers from one batch to the next is its own."""
        kept = self.decoder
        return type(kept)(kept.config, kept.models, kept.limits)

    @property
    def decoder(self) -> Decoder:
        """The product."""
        if self._decoder is None:
            where = {"dtype": self.setup.dtype, "device": self.setup.device}
            clip = load_image_text(self.names[1], **where) if self.names[1] else None
            models = Models(load_language_model(self.names[0], **where), clip)
            kind = registry.decoders().load(self.scenario.decoder)
            self._decoder = kind(kind.Config.model_validate(self.scenario.config), models, self.scenario.limits)
        return self._decoder

    @property
    def published(self) -> Published:
        """The yardstick's models."""
        if self._published is None:
            lm, clip = self.decoder.models.lm, self.decoder.models.image_text
            if self._apart:
                lm_name, clip_name = self.names
                self._published = Published.load(lm_name, clip_name, end=lm.end_id, device=self.setup.device)
            else:
                seeing = (clip.model, clip._preprocess, clip._tokenizer) if clip else (None, None, None)
                model, transform, reader = seeing
                self._published = Published(lm.model, lm.tokenizer, model, transform, reader, lm.end_id, lm.device)
            self._published.clock = self.clock
        return self._published

    def prompts(self, count: int) -> list[Prompt]:
        """What the first `count` texts start from."""
        end = self.decoder.models.lm.tokenizer.convert_ids_to_tokens(self.decoder.models.lm.end_id)
        story = self.scenario.kind == "stories"
        texts = [f"{title(number)} {end}" if story else "" for number in range(count)]
        files = self._files[:count] if self.scenario.sees else [None] * count
        return [Prompt(str(number), text, file) for number, (text, file) in enumerate(zip(texts, files, strict=True))]

    def contestants(self) -> list[Contestant]:
        """The yardstick (for `generate`, one a batch size) and the product at each batch size."""
        by_batch = self.scenario.decoder in ("greedy", "nucleus")
        contestants = [] if by_batch else [self.yardstick(1)]
        for size in self.batch_sizes:
            contestants += [*([self.yardstick(size)] if by_batch else []), self.product(size)]
        return contestants

    def product(self, batch_size: int) -> Contestant:
        """The product at a batch size."""
        prompts = self.prompts(max(self.setup.images, batch_size))
        prompts = prompts[: len(prompts) // batch_size * batch_size]

        def work() -> list[Tokens]:
            decoder = self.fresh_decoder()
            if decoder.models.image_text is not None:
                decoder.models.image_text.forget()
            generations = []
            for start in range(0, len(prompts), batch_size):
                batch = prompts[start : start + batch_size]
                generations += decoder.decode(batch, range(start, start + len(batch)))
            return [generation.tokens for generation in generations]

        return Contestant("seetell", batch_size, len(prompts), work)

    def yardstick(self, batch_size: int) -> Contestant:
        """The published program."""
        published, scenario, lm = self.published, self.scenario, self.decoder.models.lm
        config = self.decoder.config
        end = lm.end_id
        if scenario.decoder in ("greedy", "nucleus"):
            prompts = self.prompts(max(self.setup.images, batch_size))
            prompts = prompts[: len(prompts) // batch_size * batch_size]
            ids = [lm.encode(prompt.text) for prompt in prompts]
            room = room_for(lm, scenario.limits, prompts[0], len(ids[0]))
            top_p: float | None = getattr(config, "p", None)

            def generate() -> list[Tokens]:
                tokens: list[Tokens] = []
                for start in range(0, len(ids), batch_size):
                    rows = yardsticks.generate(published, ids[start : start + batch_size], new_tokens=room, top_p=top_p)
                    tokens += [until_end(row, end) for row in rows.tolist()]
                return tokens

            return Contestant("published", batch_size, len(ids), generate)
        prompts = self.prompts(self.setup.published_images)

        def one(prompt: Prompt) -> Tokens:
            if scenario.decoder == "zerocap":
                bos = lm.tokenizer.bos_token_id
                ids = [lm.end_id if bos is None else int(bos), *lm.encode("Image of a")]
                room = room_for(lm, scenario.limits, prompt, len(ids))
                beam_size = int(getattr(config, "beam_size", 1))
                image = prompt.image or b""
                return tuple(yardsticks.zerocap(published, ids, image, beam_size=beam_size, new_tokens=room))
            ids = lm.encode(prompt.text)
            tokens = yardsticks.contrastive_or_magic(
                published, ids, prompt.image, k=getattr(config, "k", 1), alpha=getattr(config, "alpha", 0.0),
                beta=getattr(config, "beta", None), new_tokens=room_for(lm, scenario.limits, prompt, len(ids)),
            )  # fmt: skip
            return until_end(tokens, end)

        return Contestant("published", 1, len(prompts), lambda: [one(prompt) for prompt in prompts])


def measure(
    scenarios: Sequence[Scenario],
    setup: Setup,
    *,
    memory: bool = False,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Run every scenario.

    Args:
        scenarios: from `SCENARIOS`, changed or not.
        setup: how.
        memory: also measure peak memory, afterwards, in processes of their own.
        say: prints what is running.
        progress: called with passes done and due.

    Returns:
        `machine`, what ran on what; `rates`, operations a second of matrix products; `figures`, a list of `Figures`.
    """
    load_before = system_load()
    for scenario in scenarios:
        setup.names(scenario, say)  # stand-ins are made before anything is measured
    rate = MachineRate(("float32", setup.dtype), setup.device)
    clock = Clock(synchroniser(setup.device))
    figures: list[Figures] = []
    ran: list[tuple[Scenario, list[Contestant]]] = []
    done = 0
    for number, scenario in enumerate(scenarios):
        contestants = Stage(scenario, setup, clock).contestants()
        passes = (setup.repeats + 1 + memory) * len(contestants)
        for run_pass in _in_turn(contestants, setup, clock, rate):
            run_pass()
            done += 1
            progress(done, done + passes * (len(scenarios) - number))
        ran.append((scenario, contestants))
    best = {"published": rate.best("float32"), "seetell": rate.best(setup.dtype)}
    for scenario, contestants in ran:
        for figure in _figures(scenario, contestants, best):
            if memory:
                used = measure_memory(scenario, setup, figure.who, figure.batch_size, torch.get_num_threads())
                figure = dataclasses.replace(figure, memory=used)
                done += 1
                progress(done, done)
            figures.append(figure)
    return {
        "machine": {**describe_machine(setup.device, setup.dtype), "load": [load_before, system_load()]},
        "rates": rate.medians(),
        "figures": figures,
    }


def _in_turn(contestants: Sequence[Contestant], setup: Setup, clock: Clock, rate: MachineRate) -> Iterable[Callable[[], None]]:
    """The passes, in order: one of each to warm up and to count operations, then the repeats."""

    def warm_up(contestant: Contestant) -> None:
        def work() -> None:
            contestant.outputs = contestant.work()

        contestant.flops = count_flops(work)

    def timed(contestant: Contestant) -> None:
        # On a GPU waiting at every part would slow the whole down, so parts get a pass of their own.
        apart = setup.device != "cpu"
        clock.on = not apart
        seconds, parts = _pass(contestant, clock, setup.device)
        if apart:
            clock.on = True
            whole, parts = _pass(contestant, clock, setup.device)
            parts = {part: taken * seconds / whole for part, taken in parts.items()}
        contestant.seconds.append(seconds / contestant.items)
        contestant.parts.append({part: taken / contestant.items for part, taken in parts.items()})

    for contestant in contestants:
        yield lambda contestant=contestant: warm_up(contestant)  # type: ignore[misc]
    for _ in range(setup.repeats):
        rate.measure()
        for contestant in contestants:
            yield lambda contestant=contestant: timed(contestant)  # type: ignore[misc]


def _pass(contestant: Contestant, clock: Clock, device: str) -> tuple[float, dict[Part, float]]:
    """Seconds of one pass, and of its parts."""
    wait = synchroniser(device)
    clock.take()
    wait()
    with watching(clock):
        start = time.perf_counter()
        contestant.work()
        wait()
        seconds = time.perf_counter() - start
    parts = clock.take()
    return seconds, {**parts, Part.REST: seconds - sum(parts.values())}


def _figures(scenario: Scenario, contestants: Sequence[Contestant], best: Mapping[str, float]) -> list[Figures]:
    figures = []
    yardstick = contestants[0]
    for contestant in contestants:
        if contestant.who == "published":
            yardstick = contestant
        seconds = Spread.of(contestant.seconds)
        flops = contestant.flops / contestant.items
        ratio = None
        equal, compared = None, 0
        if contestant is not yardstick:
            ratio = Spread.of([theirs / ours for theirs, ours in zip(yardstick.seconds, contestant.seconds, strict=True)])
            if scenario.decoder != "nucleus":  # another generator, other draws
                pairs = list(zip(yardstick.outputs, contestant.outputs, strict=False))
                compared, equal = len(pairs), sum(theirs == ours for theirs, ours in pairs)
        figures.append(
            Figures(
                scenario=scenario.name,
                note=scenario.note,
                who=contestant.who,
                batch_size=contestant.batch_size,
                items=contestant.items,
                seconds=seconds,
                parts={str(part): Spread.of([parts[part] for parts in contestant.parts]).median for part in Part},
                gigaflops=flops / 1e9,
                gigaflops_per_second=flops / seconds.median / 1e9,
                share=flops / seconds.median / best[contestant.who],
                tokens=sum(map(len, contestant.outputs)) / contestant.items,
                ratio=ratio,
                equal=equal,
                compared=compared,
            )
        )
    return figures


def choose(names: Sequence[str], ks: Sequence[int], lengths: Sequence[int]) -> list[Scenario]:
    """Scenarios by name, each with every k and every length that is asked for.

    Raises:
        SuiteError: there is no such scenario.
    """
    chosen = []
    for name in names or DEFAULT_SCENARIOS:
        if name not in SCENARIOS:
            raise SuiteError(f"there is no scenario {name!r}{did_you_mean(name, SCENARIOS)}")
        scenario = SCENARIOS[name]
        for k in (ks if "k" in scenario.config else ()) or (None,):
            chosen += [scenario.changed(k, length) for length in lengths or (None,)]
    return chosen
