"""What a leaderboard says, before anyone decides how it looks: boards of rows and columns, and who may be ranked where.

Every writer (Markdown, CSV, JSON, HTML) reads the same `Board`. Two rules are kept here:

* Within a column only equal signatures are ranked against each other. A value that was made differently is shown, marked
  with the capital letter of its signature, and ranked among its own kind.
* A run that has not answered every example is shown last and never ranked.

Which runs are in a board, and what their failures count as, is decided before (`harness.leaderboard.tables`,
`harness.compare.same_examples`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

from harness.metrics.score import Score
from harness.store import published as data
from harness.store.numbers import Column, finite
from harness.suites.examples import Failure

Kind = Literal["", "blind", "image-aware", "constant"]
"""What a row's decoder looks at: nothing is said, the words alone, the image too, or nothing whatever (one constant
sentence)."""


@dataclass(frozen=True, slots=True)
class Cell(Score):
    """A score as it is in a table; its value is NaN where there is none."""

    letters: str = ""
    """Significance groups, such as `ab`: runs of equal signature that share a letter cannot be told apart in this column.
    Empty where nothing was tested."""
    failed: int = 0
    """Answers without a score that count as the worst value."""
    not_ranked: str = ""
    """Why the value is not ranked although it is one; empty where it may be."""

    @classmethod
    def of(cls, score: Score, letters: str = "", failed: int = 0, not_ranked: str = "") -> Cell:
        """A score in its table."""
        known = {field.name: getattr(score, field.name) for field in fields(Score)}
        return cls(**known, letters=letters, failed=failed, not_ranked=not_ranked)

    def partial(self, failed: int = 0) -> str:
        """How many texts the value is about, such as `2 of 30`; empty where only texts that failed to be made are missing."""
        return f"{self.n} of {self.n + self.unscored}" if self.unscored > failed else ""

    @property
    def number(self) -> float | None:
        """The value where it is a finite number, else None."""
        return finite(self.value)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, or None unless both are finite numbers."""
        low, high = finite(self.low), finite(self.high)
        return None if low is None or high is None else (low, high)


@dataclass(frozen=True, slots=True)
class Row:
    """One run: a decoder with its settings on one suite."""

    suite: str
    decoder: str
    """The label it has in the suite."""
    identity: str
    """First eight hexadecimal digits of the run's identity."""
    cells: Mapping[str, Cell]
    """By column name; a column may be absent."""
    decoded: int
    """Answers that are texts."""
    failed: int
    """Answers that are typed failures."""
    total: int
    """Answers the run needs."""
    complete: bool
    config: Mapping[str, object] = field(default_factory=dict)
    """Hyper-parameters that are not at their default."""
    kind: Kind = ""
    note: str = ""
    """One line about the run, shown beside its name."""
    reproduce: str = ""
    """The command that makes the run again; empty where there is none."""
    empty: int = 0
    """Texts without a word: a decoder that ended at once. They are scored as they are."""
    same_label: bool = False
    """Whether another row of the table has the same label."""

    @property
    def name(self) -> str:
        """The label, with the run's identity where another row of the table has the same label."""
        return f"{self.decoder} {self.identity}" if self.same_label else self.decoder


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run said to one example."""

    decoder: str
    identity: str
    text: str = ""
    draw: int = 0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class ExampleView:
    """One example as it is shown: what was asked, what people wrote, what every decoder said."""

    id: str
    prompt: str = ""
    image: bytes | None = None
    """A thumbnail, PNG, JPEG, GIF or WebP."""
    references: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """The rank of one cell in its column."""

    rank: int | None = None
    """From 1, equal values sharing a rank; None where the cell is not ranked."""
    of: int = 0
    """How many are ranked together."""
    best: bool = False
    """First of at least two."""
    group: str = ""
    """Capital letter of the cell's signature, where the column holds more than one signature; else empty."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """How the small letters of a table were found."""

    test: str
    """Such as `paired permutation test`."""
    permutations: int
    correction: str
    """Over all pairs of a column, such as `Holm`."""
    significance: float
    """Level after the correction."""
    seed: int

    def sentence(self) -> str:
        """The legend: what a letter means and which test it comes from."""
        return (
            "Small letters: within a column, systems that share one cannot be told apart; the best has a "
            f"({self.test} over examples, B = {self.permutations:,}, two-sided, {self.correction} over all pairs of the column, "
            f"{self.significance:.0%}, seed {self.seed})"
        )


@dataclass(frozen=True, slots=True)
class Board:
    """Everything one suite's table says."""

    suite: str
    task: str
    """`caption` or `story`."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    examples: tuple[ExampleView, ...] = ()
    headline: str = ""
    """Name of the column that orders the table; the first that has a better direction if empty."""
    description: str = ""
    """One line about the suite."""
    models: Mapping[str, str] = field(default_factory=dict)
    """What was used, by part: `language model`, `image-text model`."""
    examples_total: int = 0
    """Examples in the suite, of which `examples` may be a selection."""
    created: str = ""
    """When the table was made, ISO 8601; empty for a table whose bytes must not change from day to day."""
    version: str = ""
    """SeeTell's own."""
    environment: str = ""
    """One line about the machine and the packages."""
    intervals: str = ""
    """How the intervals were made, such as `95 % intervals, BCa bootstrap over examples, seed 0`."""
    grouping: Grouping | None = None
    """How the letters in the cells were made; None if there are none."""
    left_out: str = ""
    """One sentence about runs of the suite that are not in the table; empty if all are."""
    remarks: tuple[str, ...] = ()
    """More that a reader must know, a sentence each without its full stop, such as how people's ratings were made."""
    published: tuple[PublishedTable, ...] = ()
    """What papers and repositories say about the same suite, shown apart."""
    apart: str = ""
    """In what these runs differ from the suite's main table, such as `other data (1f0c33ab)`; empty for that table itself."""

    @property
    def name(self) -> str:
        """The suite; of a table that stands apart, with what it differs in."""
        return f"{self.suite} ({self.apart})" if self.apart else self.suite

    @property
    def order_by(self) -> Column | None:
        """The column that orders the rows, or None if no column has a better direction."""
        directed = [column for column in self.columns if column.higher_is_better is not None]
        named = [column for column in directed if column.name == self.headline]
        return next(iter([*named, *directed]), None)

    def ordered(self) -> list[Row]:
        """The rows as they are shown: complete ones by the headline column, then complete ones without it, then the rest.

        Where the headline column holds several signatures, each signature's rows stay together, the largest group first:
        a row never stands above another because of a number that was made differently.
        """
        column = self.order_by
        sizes: dict[str, int] = {}
        for row in self.rows:
            cell = rankable(row, column)
            if cell is not None:
                sizes[cell.signature] = sizes.get(cell.signature, 0) + 1

        def key(row: Row) -> tuple[int, int, str, float, str, str]:
            cell = rankable(row, column)
            if column is None or cell is None or cell.number is None:
                return (1 if row.complete else 2), 0, "", 0.0, row.decoder, row.identity
            merit = -cell.number if column.higher_is_better else cell.number
            return 0, -sizes[cell.signature], cell.signature, merit, row.decoder, row.identity

        return sorted(self.rows, key=key)

    def signatures(self, column: Column) -> list[str]:
        """The different signatures in a column, in the order of the rows as shown."""
        cells = (row.cells.get(column.name) for row in self.ordered())
        return list(dict.fromkeys(cell.signature for cell in cells if cell is not None and cell.number is not None))

    def all_signatures(self) -> list[tuple[Column, str, str]]:
        """Each signature of each column with its capital letter, which is empty where the column has but one."""
        return [
            (column, letter(index) if len(signatures) > 1 else "", signature)
            for column, signatures in ((column, self.signatures(column)) for column in self.columns)
            for index, signature in enumerate(signatures)
        ]

    def standings(self, column: Column) -> list[Standing]:
        """The rank of each row in a column, in the order of `ordered()`."""
        rows = self.ordered()
        signatures = self.signatures(column)
        return [self._standing(row, rows, column, signatures) for row in rows]

    def _standing(self, row: Row, rows: Sequence[Row], column: Column, signatures: Sequence[str]) -> Standing:
        cell = row.cells.get(column.name)
        if cell is None or cell.number is None:
            return Standing()
        group = letter(signatures.index(cell.signature)) if len(signatures) > 1 else ""
        if rankable(row, column) is None:
            return Standing(group=group)
        peers = [cell_beside.number for cell_beside in _peers(rows, column, cell.signature) if cell_beside.number is not None]
        sign = 1.0 if column.higher_is_better else -1.0
        rank = 1 + sum(sign * peer > sign * cell.number for peer in peers)
        return Standing(rank, len(peers), rank == 1 and len(peers) > 1, group)


def rankable(row: Row, column: Column | None) -> Cell | None:
    """The row's cell in a column where it may be ranked: a complete run, a column with a direction, a number that counts all."""
    if column is None or column.higher_is_better is None or not row.complete:
        return None
    cell = row.cells.get(column.name)
    return cell if cell is not None and cell.number is not None and not cell.not_ranked else None


def _peers(rows: Iterable[Row], column: Column, signature: str) -> list[Cell]:
    cells = (rankable(row, column) for row in rows)
    return [cell for cell in cells if cell is not None and cell.signature == signature]


def share_a_letter(first: Cell, second: Cell) -> bool:
    """Whether two cells of one column and signature belong to a common significance group."""
    return not group_letters(first).isdisjoint(group_letters(second))


def group_letters(cell: Cell) -> set[str]:
    """The significance groups of a cell, one by one."""
    return set(_LETTER.findall(cell.letters))


_LETTER = re.compile(r"[a-z]|\(\d+\)")


def letter(index: int) -> str:
    """A signature's mark: A, B, ..., Z, AA, AB, ...; capital, since small letters are significance groups."""
    letters = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """One published number."""

    value: float
    """A plain fraction."""
    shown: str
    """With as many decimals as its source prints, and its deviation where that is known."""
    deviation: float | None = None
    """Sample standard deviation over several runs."""
    signature: str = ""
    place: int | None = None
    """The rank it would take among the board's runs of equal signature; None where none is equal."""
    of: int = 0
    """How many there would be then."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """What one source says about one system."""

    system: str
    origin: str
    """`authors`, `third party` or `re-scored`."""
    source: int
    """Its number in the table's list of sources, from 1."""
    examples: int | None
    runs: int
    notes: tuple[int, ...]
    """Numbers in the table's list of notes, from 1."""
    cells: dict[str, PublishedCell]
    """By column name."""


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """One suite's published numbers."""

    suite: str
    title: str
    collection: str
    """What they are all about, such as a paper's title."""
    columns: tuple[Column, ...]
    rows: tuple[PublishedRow, ...]
    sources: tuple[data.Source, ...]
    notes: tuple[str, ...]
