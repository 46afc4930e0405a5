"""A gate for changes: is the candidate no worse than the accepted baseline, by more than a margin?

Each number gets a non-inferiority test: the one-sided 95 % bound of its loss must stay below the margin (Piaggio et al. 2012,
the CONSORT extension for non-inferiority trials). Passing needs evidence, so a real loss beyond the margin passes at most one
time in twenty. Failing needs evidence too: only a number whose examples suffice to see the margin fails for staying unproven,
and those levels are divided by the count of numbers that are judged, so that a whole gate raises a false alarm at most one
time in twenty. What lies between could not be judged, and the gate says how many examples would do.

Three bounds are taken together, since each alone fails somewhere: the bootstrap's for skewed differences, Student's for a few
examples, and an exact one for losses that are too rare to be in the sample (`harness.compare.paired.rare_change_bounds`). Answers
that were lost count as the worst value. Texts that are the same, byte for byte, need no test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import stdtrit

from harness.compare.baseline import Baseline
from harness.compare.differences import Difference, measure
from harness.compare.runs import check_same_examples
from harness.compare.same_examples import with_lost_as_worst
from harness.compare.scored import ScoredRun
from harness.errors import SeeTellError, SuiteError, did_you_mean

Outcome = Literal["pass", "worse", "undecided", "not gated"]
PASS, WORSE, COULD_NOT_JUDGE = 0, 1, 2
"""Exit codes."""

DEFAULT_MARGIN = 0.01
"""One point on the scale of tables, for outputs that are shown times 100 and have a better direction."""
ERROR_RATE = 0.05
NEW_METRIC = "the baseline has no such score"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One number of one run."""

    output: str
    outcome: Outcome
    reason: str
    """One sentence."""
    margin: float | None = None
    """The largest loss that is put up with; a plain fraction."""
    needed: int = 0
    """Examples at which the margin could be seen; 0 where that is not the question."""
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """One decoder."""

    label: str
    outcome: Outcome
    reason: str
    baseline: str
    """Identity, 64 hex digits; empty for a decoder that the baseline lacks."""
    candidate: str = ""
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class GateReport:
    """Everything a gate says."""

    suite: str
    runs: tuple[RunVerdict, ...]
    accepted: str
    """When the baseline was made."""
    seed: int = 0

    @property
    def outcome(self) -> Outcome:
        """Worse beats undecided beats pass."""
        return _overall([run.outcome for run in self.runs])

    @property
    def exit_code(self) -> int:
        """0 pass, 1 worse, 2 could not judge."""
        return {"pass": PASS, "worse": WORSE}.get(self.outcome, COULD_NOT_JUDGE)


def parse_margins(given: Sequence[str]) -> dict[str, float | None]:
    """`--margin clipscore=0.005 length=off`: outputs to margins, None for one that is not to be gated.

    Raises:
        SuiteError: not of that form, or no positive number.
    """
    margins: dict[str, float | None] = {}
    for entry in (part for text in given for part in text.split(",") if part):
        output, equals, value = entry.partition("=")
        try:
            margin = None if value == "off" else float(value)
        except ValueError:
            margin = math.nan
        if not (output and equals) or (margin is not None and not 0 < margin < math.inf):
            raise SuiteError(
                f"--margin {entry}: expected output=loss, a fraction above 0 (clipscore=0.005), or output=off to leave one out"
            )
        margins[output] = margin
    return margins


def gate(
    candidates: Mapping[str, ScoredRun | SeeTellError], baseline: Baseline, margins: Mapping[str, float | None], *, seed: int = 0
) -> GateReport:
    """Judge every run of a baseline.

    Args:
        candidates: by decoder label; an error says why there is no run to judge.
        baseline: what was accepted.
        margins: by output, over those of the baseline; outputs that neither names get `DEFAULT_MARGIN` where it applies.
        seed: of the bootstrap.

    Raises:
        SuiteError: a margin for an output that no run has.
    """
    margins = {**baseline.margins, **margins}
    prepared = [_prepare(label, baseline, candidates.get(label), seed) for label in baseline.runs]
    known = {difference.output for _, differences in prepared for difference in differences}
    for output in margins:
        if known and output not in known:
            raise SuiteError(f"--margin {output}=...: no run of the baseline has such an output{did_you_mean(output, known)}")
    changed = [difference for run, differences in prepared if run.outcome != "pass" for difference in differences]
    tests = sum(margin_of(difference, margins) is not None for difference in changed)
    runs = tuple(_judge_run(run, differences, margins, max(tests, 1)) for run, differences in prepared)
    new = tuple(
        RunVerdict(
            label, "not gated", f"it is not in the baseline; `seetell gate {baseline.suite} --accept --only {label}` adds it", ""
        )
        for label in candidates
        if label not in baseline.runs
    )
    return GateReport(baseline.suite, runs + new, baseline.created, seed)


def _prepare(
    label: str, baseline: Baseline, candidate: ScoredRun | SeeTellError | None, seed: int
) -> tuple[RunVerdict, list[Difference]]:
    """A run with what is known before any statistics: `pass` for the same texts, `undecided` if they are to be judged."""
    before = baseline.runs[label]
    verdict = RunVerdict(label, "undecided", "", before.identity)
    if candidate is None or isinstance(candidate, SeeTellError):
        reason = str(candidate) if candidate else f"it was not run; `seetell run {baseline.suite}` does it"
        return replace(verdict, reason=reason), []
    identity = candidate.spec.identity()
    verdict = replace(verdict, candidate=identity)
    if before.spec.data_digest != candidate.spec.data_digest:
        reason = "the data of the suite changed since the baseline was accepted; look at it, then accept a new baseline"
        return replace(verdict, reason=reason), []
    accepted = before.scored()
    same = before.digest == candidate.digest
    if identity == before.identity and not same:
        reason = (
            "other texts under the same identity: nothing that may change a text did, so the code did. Raise the decoder's "
            "version if that was meant"
        )
        return replace(verdict, outcome="worse", reason=reason), []
    try:
        check_same_examples(accepted, candidate)
    except SeeTellError as error:
        return replace(verdict, reason=str(error)), []
    if not same:
        candidate = with_lost_as_worst(accepted, candidate)
    differences = [
        _with_reason(difference, accepted, candidate, baseline.suite)
        for difference in measure(accepted, candidate, level=1 - 2 * ERROR_RATE, permutations=0, seed=seed)
    ]
    return (replace(verdict, outcome="pass", reason="the same texts, byte for byte") if same else verdict), differences


def _with_reason(difference: Difference, accepted: ScoredRun, candidate: ScoredRun, suite: str) -> Difference:
    """The difference, with its reason where it must not be judged, and the number of answers that were lost."""
    if difference.metric not in accepted.metrics:
        return replace(difference, reason=f"{NEW_METRIC}; `seetell gate {suite} --accept` takes it in")
    scored = candidate.metrics.get(difference.metric)
    if scored is None:
        return difference
    if scored.not_ranked:
        return replace(difference, difference=math.nan, lost=scored.failed, reason=scored.not_ranked)
    return replace(difference, lost=scored.failed)


def _judge_run(run: RunVerdict, differences: Sequence[Difference], margins: Mapping[str, float | None], tests: int) -> RunVerdict:
    if not differences:
        return run
    same = run.outcome == "pass"
    verdicts = tuple(
        _same_texts(difference, margins) if same else judge(difference, margin_of(difference, margins), tests)
        for difference in differences
    )
    outcome = _overall([verdict.outcome for verdict in verdicts])
    counts = {kind: sum(verdict.outcome == kind for verdict in verdicts) for kind in ("worse", "undecided", "pass")}
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return replace(run, outcome=outcome, reason=run.reason if same and outcome == "pass" else summary, verdicts=verdicts)


def margin_of(difference: Difference, margins: Mapping[str, float | None]) -> float | None:
    """The margin of an output, None if it is not gated."""
    if difference.reason.startswith(NEW_METRIC):
        return None
    if difference.output in margins:
        return margins[difference.output]
    return DEFAULT_MARGIN if difference.percent and difference.higher_is_better is not None else None


def _same_texts(difference: Difference, margins: Mapping[str, float | None]) -> Verdict:
    """The texts are the same, so is every score, unless a metric changed under its signature."""
    margin = margin_of(difference, margins)
    if margin is None:
        return _not_gated(difference)
    if not difference.compared:
        return Verdict(difference.output, "undecided", difference.reason, margin, difference=difference)
    if math.isclose(difference.first, difference.second, rel_tol=1e-6, abs_tol=1e-9):
        return Verdict(difference.output, "pass", "the same texts", margin, difference=difference)
    reason = "the same texts score differently under the same signature: the metric changed; accept a new baseline"
    return Verdict(difference.output, "undecided", reason, margin, difference=difference)


def _not_gated(difference: Difference) -> Verdict:
    reason = difference.reason if difference.reason.startswith(NEW_METRIC) else "no margin"
    return Verdict(difference.output, "not gated", reason, difference=difference)


def judge(difference: Difference, margin: float | None, tests: int = 1) -> Verdict:
    """One non-inferiority verdict.

    Args:
        difference: with a 90 % interval, whose ends are one-sided 95 % bounds.
        margin: the largest loss that is put up with; None if the output is not gated. For an output without a better direction
            it bounds the change either way (two one-sided tests, Schuirmann 1987).
        tests: how many numbers are judged in the same gate.
    """
    name = difference.output
    if margin is None:
        return _not_gated(difference)
    if not difference.compared or math.isnan(difference.low):
        rule = "one example is too few for an interval" if difference.n < 2 else "there is no valid interval for it"
        reason = difference.reason or f"{rule}; leave it out with --margin {name}=off"
        return Verdict(name, "undecided", reason, margin, difference=difference)
    if math.isnan(difference.error):
        reason = f"the score hangs on a single example: without it there is none; leave it out with --margin {name}=off"
        return Verdict(name, "undecided", reason, margin, difference=difference)
    loss, most = _loss(difference)
    rare = _rare_loss(difference)
    if max(most, rare) <= margin:
        most = max(most, rare)
        bound = f"worse by {_show(most)} at most" if most > 0 else f"better by {_show(-most)} at least" if most < 0 else "as good"
        return Verdict(name, "pass", bound, margin, difference=difference)
    strict = 1 - ERROR_RATE / tests
    needed = _needed(difference, margin, strict)
    if loss - _quantile(strict, difference.n) * difference.error > margin:
        return Verdict(name, "worse", f"worse by {_show(loss)}, surely beyond the margin", margin, needed, difference)
    if most <= margin:
        needed = _needed_for_rare(difference, margin)
        reason = (
            f"{difference.n} examples are too few to rule out a loss on few examples that is beyond the margin of "
            f"{_show(margin)}; it takes about {needed}"
        )
        return Verdict(name, "undecided", reason, margin, needed, difference)
    if difference.n >= needed:
        reason = f"worse by {_show(loss)}, and by up to {_show(most)}: beyond the margin of {_show(margin)}"
        return Verdict(name, "worse", reason, margin, needed, difference)
    reason = f"{difference.n} examples are too few to see a margin of {_show(margin)}; it takes about {needed}"
    return Verdict(name, "undecided", reason, margin, needed, difference)


def _loss(difference: Difference) -> tuple[float, float]:
    """The loss and its upper 95 % bound, the larger of the bootstrap's and Student's; negative where the candidate gained."""
    reach = _quantile(1 - ERROR_RATE, difference.n) * difference.error
    if difference.higher_is_better is None:
        loss = abs(difference.difference)
        return loss, max(abs(difference.low), abs(difference.high), loss + reach)
    if difference.higher_is_better:
        return -difference.difference, max(-difference.low, -difference.difference + reach)
    return difference.difference, max(difference.high, difference.difference + reach)


def _rare_loss(difference: Difference) -> float:
    """The upper 95 % bound of the loss that holds for rare changes too; without examples to tell, no bound but the others."""
    if math.isnan(difference.rare_low):
        return -math.inf
    if difference.higher_is_better is None:
        return max(abs(difference.rare_low), abs(difference.rare_high))
    return -difference.rare_low if difference.higher_is_better else difference.rare_high


def _quantile(probability: float, n: int) -> float:
    """Of Student's t distribution with as many degrees of freedom as n examples leave."""
    return float(stdtrit(max(n - 1, 1), probability))


def _needed(difference: Difference, margin: float, strict: float) -> int:
    """Examples at which a candidate as good as the baseline passes with probability `strict`."""
    reach = (_quantile(1 - ERROR_RATE, difference.n) + _quantile(strict, difference.n)) * difference.error
    return max(2, math.ceil(difference.n * (reach / margin) ** 2))


def _needed_for_rare(difference: Difference, margin: float) -> int:
    """Examples of which none may change so that a change of the largest size stays within the margin (rule of three)."""
    if not margin < difference.scale:
        return 2
    return max(difference.n + 1, math.ceil(math.log(ERROR_RATE) / math.log1p(-margin / difference.scale)))


def _show(value: float) -> str:
    return f"{value:.4g}"


def _overall(outcomes: Sequence[Outcome]) -> Outcome:
    """Worse beats undecided beats pass; nothing judged at all is undecided."""
    order: tuple[Outcome, ...] = ("worse", "undecided", "pass")
    return next((outcome for outcome in order if outcome in outcomes), "undecided")
