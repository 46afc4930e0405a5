"""How long a text may get, and what comes of prompts and texts of no length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from decoders.base import Limits, Need, Prompt
from decoders.errors import PromptTooLong, SeeTellError
from decoders.models.loaded import Models
from decoders.testing.trial import PURITY, SHORT_CONTEXT, Trial, encoded, items, steered


def _length_limits(trial: Trial) -> None:
    """`max_new_tokens`, `max_length` and the model's context are kept to, down to a single token, and used in full."""
    if not trial.writes:
        return
    reads, endless, short = (trial.reads_prompts, steered(never_ends=True), steered(never_ends=True, context=SHORT_CONTEXT))
    longest = max(encoded(endless.lm, prompt) for prompt, _ in items())
    tries = [(endless, Limits(n)) for n in (1, 2, 5)]
    tries += [(steered(), Limits(3)), (short, Limits()), (endless, Limits(3, SHORT_CONTEXT))]
    tries += [(endless, Limits(max_length=length)) for length in (longest + 1, longest + 4)]
    for models, limits in tries:
        work = items()[:3] if limits == Limits() else items()
        answer = trial.attempt(work, models, limits)
        if isinstance(answer, PromptTooLong) and not reads and limits.max_new_tokens is None:
            continue  # what it continues in place of the prompts is too long, which only it can know
        if isinstance(answer, SeeTellError):
            raise trial.broken(f"under {limits} it raised {answer}", "There is room; decode") from answer
        for generation, (prompt, _) in zip(answer, work, strict=True):
            used = encoded(models.lm, prompt) if reads else 1
            lengths = [limit for limit in (limits.max_length, models.lm.context_length) if limit is not None]
            rooms = [limits.max_new_tokens, *(length - used for length in lengths)]
            room = min(limit for limit in rooms if limit is not None)
            full = reads or room == limits.max_new_tokens
            trial.hold(
                len(generation.tokens) <= room,
                f"to {prompt.text!r}, under {limits} and in a context of {models.lm.context_length}, it writes "
                f"{len(generation.tokens)} tokens where {room} fit",
                "Ask `decoders.loop.room_for` how many a prompt may have; the end token counts",
            )
            trial.hold(
                not full or generation.finish == "eos" or len(generation.tokens) == room,
                f"to {prompt.text!r}, under {limits}, it stops for {generation.finish!r} after {len(generation.tokens)} tokens "
                f"where {room} fit",
                "Go on until the end token or the limit",
            )


def _no_room(trial: Trial) -> None:
    """A prompt that leaves no room for a new token is `PromptTooLong`, and the message names it."""
    if not trial.writes:
        return
    lm = steered().lm
    if trial.reads_prompts:
        place = max(range(len(items())), key=lambda place: encoded(lm, items()[place][0]))
        filling = replace(items()[place][0], text="A red kite over " * SHORT_CONTEXT)
        tries: list[tuple[Prompt, Models, Limits]] = [
            (items()[place][0], steered(), Limits(max_length=encoded(lm, items()[place][0]))),
            (filling, steered(context=SHORT_CONTEXT), Limits(4)),
        ]
    else:
        tries = [(items()[1][0], steered(), Limits(max_length=1))]
    for prompt, models, limits in tries:
        for work in ([(prompt, 1)], [items()[0], (prompt, 1)]):
            answer = trial.attempt(work, models, limits)
            trial.hold(
                isinstance(answer, PromptTooLong) and (len(work) > 1 or prompt.id in str(answer)),
                f"a prompt of {encoded(lm, prompt)} tokens in a context of {models.lm.context_length} under {limits} gave "
                + (f"{type(answer).__name__}: {answer}" if isinstance(answer, SeeTellError) else f"{answer[-1]}"),
                "Ask `decoders.loop.room_for`, which raises PromptTooLong with the prompt's id",
            )


def _empty_prompt(trial: Trial) -> None:
    """An empty prompt is the start token alone, in company or by itself."""
    lm = steered().lm
    start = lm.decode(lm.encode(""), skip_special=False)
    empty = [(replace(prompt, text=""), seed) for prompt, seed in items()[:3]]
    alone = [trial.decode([item])[0] for item in empty]
    mixed = trial.decode([*empty, *items()[3:]])
    trial.same(mixed[:3], alone, empty, "beside longer prompts", f"{PURITY}; look at padding first")
    if Need.LM in trial.kind.needs:
        spelled = [(replace(prompt, text=start), seed) for prompt, seed in empty]
        trial.same(trial.decode(spelled), alone, spelled, "to the start token", "Use `lm.encode`, which knows empty prompts")


def _end_at_once(trial: Trial) -> None:
    """Where the end token is certain, the text is empty and the finish 'eos'."""
    if not trial.writes:
        return
    models = steered(end_at_once=True)
    for work in (items(), items()[2:3]):
        for generation, (prompt, _) in zip(trial.decode(work, models), work, strict=True):
            trial.hold(
                (generation.text, generation.tokens, generation.finish) == ("", (models.lm.end_id,), "eos"),
                f"to {prompt.text!r} it says {generation.text!r} {generation.tokens} ({generation.finish})",
                f"Stop at the end token ({models.lm.end_id}) even if it comes first, and keep it as last token. A decoder that "
                "means to write on leaves this rule out",
            )


RULES: dict[str, Callable[[Trial], None]] = {
    "length-limits": _length_limits,
    "no-room": _no_room,
    "empty-prompt": _empty_prompt,
    "end-at-once": _end_at_once,
}
