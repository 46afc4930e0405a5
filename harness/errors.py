"""The exception tree of the harness. Each text says what is wrong with the value, what was expected, and what repairs it.

decoders.errors.SeeTellError
├── (ModelNotFound, ModelMismatch, NeedMissing, UnreadableImage, PromptTooLong: see decoders.errors)
├── SuiteError               a suite file that does not parse, has an unknown key, or contradicts itself
├── DataError                a dataset file that is missing or not in the format it claims
├── RegistryError            a plug-in name
│   ├── UnknownPlugin        nobody registered it (with the nearest names)
│   ├── BrokenPlugin         registered, but its module does not load or is of the wrong kind
│   └── ClashingPlugins      two distributions registered the same name
├── StoreError               a results folder that is locked, incomplete or does not belong to the run
│   ├── RunLocked            another process writes to it
│   └── RunIncomplete        not every example is decoded
├── IncomparableRuns         two runs of different examples, or scored in different ways
├── MetricError              a metric that cannot be computed at all
│   ├── MetricUnavailable    something it needs is not installed (reason and remedy)
│   └── JavaError            its Java process: missing, crashed, timed out, or answered nonsense
├── TrainingFailed           a loss that is no number any more
├── StudyError               a study of human ratings that cannot be made, read or changed as asked
│   ├── StudyOutdated        its database has an older (or newer) layout than this SeeTell
│   ├── StudyFrozen          ratings are closed for good
│   ├── NotAllowed           asked for something that the role does not cover
│   ├── NotYours             a slot, image or form of somebody else
│   ├── SeatUnknown          a browser's key that opens no seat (any more)
│   ├── InviteRefused        an invitation that is unknown, expired, revoked or used up, or a name that is taken
│   └── TooManyTries         joining failed too often from one address
├── DecoderFailed            a decoder's own exception, or an answer that breaks the contract
├── OutOfMemory              not even one example fits the device
├── ClusterError             a Ray cluster that cannot be used as it is
│   └── WorkerLost           workers die over the same examples again and again
└── Interrupted              Ctrl-C; what was decoded is kept, and the text says how to resume
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from decoders.errors import ModelMismatch, ModelNotFound, NeedMissing, PromptTooLong, SeeTellError, UnreadableImage

__all__ = [
    "BrokenPlugin",
    "ClashingPlugins",
    "ClusterError",
    "DataError",
    "DecoderFailed",
    "IncomparableRuns",
    "Interrupted",
    "InviteRefused",
    "JavaError",
    "MetricError",
    "MetricUnavailable",
    "ModelMismatch",
    "ModelNotFound",
    "NeedMissing",
    "NotAllowed",
    "NotYours",
    "OutOfMemory",
    "PromptTooLong",
    "RegistryError",
    "RunIncomplete",
    "RunLocked",
    "SeatUnknown",
    "SeeTellError",
    "StoreError",
    "StudyError",
    "StudyFrozen",
    "StudyOutdated",
    "SuiteError",
    "TooManyTries",
    "TrainingFailed",
    "UnknownPlugin",
    "UnreadableImage",
    "WorkerLost",
]


class SuiteError(SeeTellError):
    """A suite that cannot be run as written."""


class DataError(SeeTellError):
    """Data that is missing or malformed."""


class RegistryError(SeeTellError):
    """A plug-in name that does not lead to one working plug-in."""


class UnknownPlugin(RegistryError):
    """A name that no installed distribution registers."""


class BrokenPlugin(RegistryError):
    """A registered plug-in that cannot be loaded or is not what its group promises."""


class ClashingPlugins(RegistryError):
    """One name, two distributions."""


class StoreError(SeeTellError):
    """A results folder in a state that must not be read or written as asked."""


class RunLocked(StoreError):
    """Another live process is decoding this run."""


class RunIncomplete(StoreError):
    """A run that was asked for its samples before it had all of them."""


class IncomparableRuns(SeeTellError):
    """Two runs whose numbers must not be subtracted from each other."""


class MetricError(SeeTellError):
    """A metric that cannot be computed on these samples."""


class MetricUnavailable(MetricError):
    """Something the metric needs is not on this machine; the text names the remedy."""


class JavaError(MetricError):
    """A Java process that is missing, crashed, timed out or answered something else than asked."""


class Interrupted(SeeTellError):
    """The user pressed Ctrl-C; everything decoded so far is on disk."""


class DecoderFailed(SeeTellError):
    """A decoder raised something of its own, or broke its contract; the cause is chained."""


class OutOfMemory(SeeTellError):
    """Even one example at a time does not fit the device, or a micro-batch of a training."""


class TrainingFailed(SeeTellError):
    """A training whose losses are no numbers any more."""


class StudyError(SeeTellError):
    """A study of human ratings that cannot be made, read or changed as asked."""


class StudyOutdated(StudyError):
    """A study's database has another layout than this SeeTell; `seetell study migrate` upgrades an older one."""


class StudyFrozen(StudyError):
    """A study whose ratings are closed for good."""


class NotAllowed(StudyError):
    """Something that the caller's role does not cover."""


class NotYours(StudyError):
    """A slot or image that was never given to this annotator."""


class SeatUnknown(StudyError):
    """A browser's key that opens no seat, or no longer does."""


class InviteRefused(StudyError):
    """An invitation that does not let anybody in; `reason` is one word for programs, the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class TooManyTries(StudyError):
    """Joining failed too often from one address; it may be tried again after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"joining failed too often from here; try again in {seconds} seconds")
        self.seconds = seconds


class ClusterError(SeeTellError):
    """A Ray cluster that cannot be reached, has no room, or runs other versions."""


class WorkerLost(ClusterError):
    """Several workers died over the same examples."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x' or 'y'?)`, or what there is when nothing is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    if near:
        return " (did you mean " + " or ".join(repr(candidate) for candidate in near) + "?)"
    return f" (there are: {', '.join(names)})" if names else " (there are none)"
