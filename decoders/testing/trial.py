"""One decoder under one rule: making it, decoding with it, and reporting what it broke."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from decoders.base import Decoder, DecoderConfig, Generation, Limits, Need, Prompt
from decoders.errors import SeeTellError
from decoders.models.language_model import LanguageModel
from decoders.models.loaded import Models
from decoders.testing.fakes import fake_models, fake_prompts

LIMITS = Limits(max_new_tokens=6)
SHORT_CONTEXT = 24
"""Positions of the language model that is to be filled."""

PURITY = "Nothing but config, models, prompt and seed may decide the text"
"""What the remedies of most rules begin with."""

Work = Sequence[tuple[Prompt, int]]
"""Prompts with their seeds."""


class ContractBroken(AssertionError):
    """A decoder broke a rule of the contract: which one, the values that show it, and what to do.

    Attributes:
        rule: the rule's name.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Trial:
    """A decoder with its config, under one rule."""

    kind: type[Decoder]
    config: DecoderConfig
    rule: str
    meaning: str
    """The rule in a sentence."""

    def broken(self, observation: str, remedy: str, rule: str | None = None) -> ContractBroken:
        """The error to raise.

        Args:
            observation: the values that show it.
            remedy: how to repair it.
            rule: another rule than the one under trial, if that is the one that broke.
        """
        breach = f"{self.kind.__name__} breaks {rule or self.rule!r}" + ("" if rule else f" ({self.meaning})")
        return ContractBroken(rule or self.rule, f"{breach}: {observation}. {remedy}")

    def hold(self, kept: bool, observation: str, remedy: str) -> None:
        """Raise unless `kept`."""
        if not kept:
            raise self.broken(observation, remedy)

    def make(self, models: Models | None = None, limits: Limits = LIMITS) -> Decoder:
        """A new instance of the decoder."""
        return self.kind(self.config, models or steered(), limits)

    def attempt(
        self, work: Work, models: Models | None = None, limits: Limits = LIMITS, *, by: Decoder | None = None
    ) -> list[Generation] | SeeTellError:
        """Its generations for a batch, or the SeeTell error that it stops with; any other error breaks the rule.

        Args:
            work: prompts and seeds.
            models: by default the plain fakes.
            limits: by default `LIMITS`.
            by: an instance that was made before, in place of a new one.
        """
        return self.ask([prompt for prompt, _ in work], [seed for _, seed in work], lambda: by or self.make(models, limits))

    def ask(self, prompts: Sequence[Prompt], seeds: Sequence[int], by: Callable[[], Decoder]) -> list[Generation] | SeeTellError:
        """See `attempt`; the sequences are passed on as they are."""
        try:
            answer = by().decode(prompts, seeds)
        except SeeTellError as error:
            return error
        except ContractBroken:
            raise
        except Exception as error:  # the plug-in boundary: foreign code may raise anything
            raise self.broken(
                f"it raised {type(error).__name__}: {error}, on a batch of {len(seeds)}",
                "The traceback above says where; what a user can repair is raised as a SeeTellError",
            ) from error
        if not isinstance(answer, list) or len(answer) != len(seeds):
            observation = f"{len(answer)} generations" if isinstance(answer, list) else f"a {type(answer).__name__}"
            raise self.broken(
                f"it gave {observation} for {len(seeds)} prompts",
                "Return a list, one generation a prompt, in order",
                ONE_EACH if seeds else None,
            )
        strange = [item for item in answer if not isinstance(item, Generation)]
        if strange:
            raise self.broken(f"it gave a {type(strange[0]).__name__}", "Return decoders.Generation", WELL_FORMED)
        return answer

    def decode(
        self, work: Work, models: Models | None = None, limits: Limits = LIMITS, *, by: Decoder | None = None
    ) -> list[Generation]:
        """Its generations for a batch that nothing is wrong with; see `attempt`."""
        return self.well(self.attempt(work, models, limits, by=by))

    def well(self, answer: list[Generation] | SeeTellError) -> list[Generation]:
        """An answer that is no error."""
        if isinstance(answer, SeeTellError):
            raise self.broken(
                f"it raised {type(answer).__name__}: {answer}", "Nothing is wrong with this batch; decode it"
            ) from answer
        return answer

    def same(self, answer: Sequence[Generation], expected: Sequence[Generation], work: Work, when: str, remedy: str) -> None:
        """Raise unless texts, tokens and reasons for stopping are equal; traces may differ in their last digits."""
        for generation, wanted, (prompt, seed) in zip(answer, expected, work, strict=True):
            if _content(generation) != _content(wanted):
                raise self.broken(
                    f"to the prompt {prompt.text!r} with seed {seed} it says {_shown(generation)} {when}, but "
                    f"{_shown(wanted)} otherwise",
                    remedy,
                )

    def decode_items(self) -> list[Generation]:
        """Its generations for all `items` in one batch; decoded once, then remembered for the other rules."""
        key = self.kind, repr(self.config)
        if key not in _usual:
            _usual[key] = self.decode(items())
        return list(_usual[key])

    @property
    def writes(self) -> bool:
        """Whether it writes token by token, rather than repeat texts that are there already."""
        return any(generation.finish != "retrieved" for generation in self.decode_items())

    @property
    def reads_prompts(self) -> bool:
        """Whether the prompt's words make a difference; if not, it continues something of its own."""
        (first, seed), *_ = items()
        work = [(replace(first, text=prompt.text), seed) for prompt, _ in items()]
        return len({_content(generation) for generation in self.decode(work, steered(never_ends=True), Limits(3))}) > 1


_usual: dict[tuple[type[Decoder], str], list[Generation]] = {}
ONE_EACH, WELL_FORMED = "one-each", "well-formed"
"""The rules that every answer of every trial is held to, as far as the other rules rely on them."""


@cache
def items(n: int = 8) -> tuple[tuple[Prompt, int], ...]:
    """Prompts of different lengths with their images, each with a seed of its own."""
    return tuple((prompt, 1 + 0x9E3779B97F4A7C15 * number % 2**64) for number, prompt in enumerate(fake_prompts(n)))


@cache
def steered(*, end_at_once: bool = False, never_ends: bool = False, context: int = 64) -> Models:
    """The fake models, made once."""
    return fake_models(end_at_once=end_at_once, never_ends=never_ends, context=context)


class Forbidden:
    """Stands where a model would that the decoder did not ask for: whatever is done with it is noted and refused."""

    _trial: Trial
    _need: Need
    _touched: list[str]

    def __init__(self, trial: Trial, need: Need, touched: list[str]) -> None:
        vars(self).update(_trial=trial, _need=need, _touched=touched)

    def __getattr__(self, name: str) -> object:
        self._touched.append(f"{self._need.value}.{name}")
        raise self._trial.broken(
            f"it uses {name!r} of the {self._need.value}, which it did not declare",
            f"Add Need.{self._need.name} to its `needs`, or do without",
        )


def encoded(lm: LanguageModel, prompt: Prompt) -> int:
    """How many tokens a prompt has."""
    return len(lm.encode(prompt.text))


def _shown(generation: Generation) -> str:
    return f"{generation.text!r} {generation.tokens} ({generation.finish})"


def _content(generation: Generation) -> tuple[str, tuple[int, ...], str]:
    return generation.text, generation.tokens, generation.finish
