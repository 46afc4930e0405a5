"""Which annotator rates which texts in which order: seeded, and balanced before the first rating.

A *block* is what one annotator is given at once: an image with every system's text, or (`spread`, for stories) as many items
as there are systems, each with another system's text. Blocks lie in *lanes*, one for each planned annotator; an annotator who
finishes early continues in another lane. Three promises, checked by tests:

* each text is rated by exactly `k` annotators, and nobody is given one unit twice;
* over the plan and within each lane, a system's counts of positions differ by at most 1, and so do lanes' numbers of blocks;
* annotators overlap: from anyone to anyone there is a chain of annotators who share images.

Orders are rows of a Williams design (Williams 1949, Aust. J. Sci. Res. A2, 149-168): each system once in each position,
each ordered pair of neighbours equally often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import StudyError
from harness.study.tables.base import REPEAT_GAP

Control = Literal["swap", "scramble", "repeat", "reference"]


CONTROL_SHARE = 0.1
"""Of all slots."""


PLANNER = 1
"""Raised when the same seed comes to give another plan."""


@dataclass(frozen=True, slots=True)
class PlannedSlot:
    """A place in a block."""

    item: int
    """Number of the item."""
    system: int | None
    """Number of the system whose text it is; None for a control."""
    control: Control | None = None


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """What one annotator will be given at once."""

    unit: int
    topic: int
    rep: int
    lane: int
    seq: int
    """In its lane."""
    row: int
    """Of the Williams design."""
    slots: tuple[PlannedSlot, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All blocks of a study."""

    systems: int
    items: int
    k: int
    lanes: int
    spread: bool
    seed: int
    blocks: tuple[PlannedBlock, ...]

    @property
    def forms(self) -> int:
        """Slots in all, controls included."""
        return sum(len(block.slots) for block in self.blocks)

    @property
    def controls(self) -> int:
        """Slots that are controls."""
        return sum(slot.control is not None for block in self.blocks for slot in block.slots)

    @property
    def longest_lane(self) -> int:
        """Forms of the annotator who has most to do."""
        forms = [0] * self.lanes
        for block in self.blocks:
            forms[block.lane] += len(block.slots)
        return max(forms, default=0)


def make_plan(
    systems: int,
    items: int,
    k: int,
    lanes: int,
    seed: int,
    *,
    spread: bool = False,
    controls: Sequence[Control] = ("swap", "scramble", "repeat", "reference"),
    share: float = CONTROL_SHARE,
) -> Plan:
    """Plan a study.

    Args:
        systems: how many are compared, two or more.
        items: how many images (or titles); with `spread` a multiple of `systems`.
        k: ratings a text.
        lanes: annotators to balance for, at least k.
        seed: everything random follows from it.
        spread: a block shows each of its items with one text only.
        controls: kinds of controls, used in turn.
        share: of all slots, that are controls.

    Raises:
        StudyError: numbers that no plan can have.
    """
    _check(systems, items, k, lanes, spread, share)
    random = np.random.default_rng([PLANNER, seed])
    topics = items // systems if spread else items
    rotations = systems if spread else 1
    units = topics * rotations
    members = _lanes_of_units(units, rotations, k, lanes, random)
    queues = [_queue([unit for unit in range(units) if lane in members[unit]], rotations, random) for lane in range(lanes)]
    rows = _rows_of_lanes(queues, systems, random)
    design = williams(systems)
    names, order = random.permutation(systems), random.permutation(items)
    marks = _controls_of_lanes([len(queue) for queue in queues], systems, controls, share, random)
    blocks = []
    for lane, queue in enumerate(queues):
        for seq, unit in enumerate(queue):
            topic, rotation = divmod(unit, rotations)
            row = rows[lane][seq]
            placed = []
            for system in design[row]:
                item = order[topic * systems + (int(system) + rotation) % systems] if spread else order[topic]
                placed.append(PlannedSlot(int(item), int(names[system])))
            for kind in marks[lane][seq]:
                position = int(random.integers(1, len(placed)))
                placed.insert(position, PlannedSlot(placed[position - 1].item, None, kind))
            rep = members[unit].index(lane)
            blocks.append(PlannedBlock(unit, topic, rep, lane, seq, row, tuple(placed)))
    return Plan(systems, items, k, lanes, spread, seed, tuple(blocks))


def williams(systems: int) -> NDArray[np.int64]:
    """A Williams design, `[rows, systems]`: `systems` rows where their number is even, else twice as many.

    The first `systems` rows are a Latin square by themselves, and so are the others.
    """
    zigzag = [0]
    low, high = 1, systems - 1
    while low <= high:
        zigzag.append(low)
        if low != high:
            zigzag.append(high)
        low, high = low + 1, high - 1
    square = (np.array(zigzag)[None, :] + np.arange(systems)[:, None]) % systems
    return square if systems % 2 == 0 else np.concatenate([square, square[:, ::-1]])


def _check(systems: int, items: int, k: int, lanes: int, spread: bool, share: float) -> None:
    if systems < 2:
        raise StudyError(f"a study of {systems} system compares nothing; expected two or more")
    if items < 1 or k < 1:
        raise StudyError(f"a study needs an item and a rating of it, not {items} items with {k} ratings each")
    if lanes < k:
        raise StudyError(
            f"{k} ratings an item need {k} annotators or more, since nobody rates an item twice; {lanes} are planned. Give "
            "--annotators a larger number or --ratings-per-item a smaller one"
        )
    if spread and items % systems:
        raise StudyError(
            f"one text a visit needs a multiple of {systems} systems for items, not {items}; {items - items % systems} would do"
        )
    if not 0 <= share < 0.5:
        raise StudyError(f"controls are {share:.0%} of all slots; expected 0 to 50 %")


def _lanes_of_units(units: int, rotations: int, k: int, lanes: int, random: np.random.Generator) -> list[list[int]]:
    """K lanes for each unit: the least loaded first, among those one that connects annotators who share no image yet."""
    # Greedy, one lane at a time. np.lexsort sorts by its last key first: load decides, so lanes' sizes differ by at most 1. Ties
    # go to a lane of another component of the graph "have rated an image in common" (`apart`), the smallest component first, so
    # that one chain of shared images connects all annotators; then to the lane that has seen the topic least, then to the pair
    # that has met least. What is still tied is random.
    load = np.zeros(lanes, dtype=np.int64)
    met = np.zeros((lanes, lanes), dtype=np.int64)
    component = np.arange(lanes)
    chosen: list[list[int]] = [[] for _ in range(units)]
    of_topic = np.zeros((units // rotations, lanes), dtype=np.int64)
    for unit in range(units):
        topic = unit // rotations
        group: list[int] = []
        noise = random.random(lanes)
        for _ in range(k):
            pairs = met[:, group].sum(axis=1)
            apart = np.array([component[lane] not in component[group] for lane in range(lanes)])
            size = np.array([(component == component[lane]).sum() for lane in range(lanes)])
            keys = (noise, pairs, of_topic[topic], size, -apart.astype(np.int64), load)
            ranked = [int(lane) for lane in np.lexsort(keys) if lane not in group]
            group.append(ranked[0])
        for lane in group:
            load[lane] += 1
            of_topic[topic, lane] += 1
            met[lane, group] += 1
        first = component[group[0]]
        for lane in group[1:]:
            component[component == component[lane]] = first
        random.shuffle(group)
        chosen[unit] = group
    return chosen


def _queue(units: list[int], rotations: int, random: np.random.Generator) -> list[int]:
    """The units of a lane in an order of their own; units of one topic are never neighbours where that can be."""
    rounds: dict[int, list[int]] = {}
    seen: dict[int, int] = {}
    for unit in random.permutation(units) if units else []:
        topic = int(unit) // rotations
        rounds.setdefault(seen.get(topic, 0), []).append(int(unit))
        seen[topic] = seen.get(topic, 0) + 1
    queue = [unit for number in sorted(rounds) for unit in rounds[number]]
    for place in range(1, len(queue)):
        if queue[place] // rotations == queue[place - 1] // rotations:
            _swap_away(queue, place, rotations)
    return queue


def _swap_away(queue: list[int], place: int, rotations: int) -> None:
    """Swap a unit with another one so that neither has its own topic beside it, where there is such a swap."""

    def clash(index: int) -> bool:
        around = queue[max(index - 1, 0) : index] + queue[index + 1 : index + 2]
        return any(unit // rotations == queue[index] // rotations for unit in around)

    for candidate in range(len(queue)):
        queue[place], queue[candidate] = queue[candidate], queue[place]
        if not clash(place) and not clash(candidate):
            return
        queue[place], queue[candidate] = queue[candidate], queue[place]


def _rows_of_lanes(queues: Sequence[Sequence[int]], systems: int, random: np.random.Generator) -> list[list[int]]:
    """A row of the design for each block: balanced in each lane and over all, another row for each rep of a unit if it can be.

    A lane uses whole Latin squares and, for what is left, a run of rows of the first square. The runs of all lanes, one after
    another, go round that square, so their counts differ by at most 1 as well.
    """
    from scipy.optimize import linear_sum_assignment

    rows = len(williams(systems))
    squares = rows // systems
    used: dict[int, NDArray[np.int64]] = {}
    start = 0
    rows_of_lanes: list[list[int]] = []
    for queue in queues:
        whole, rest = divmod(len(queue), systems)
        bag: list[int] = []
        for number in range(whole):
            square = (number + 1) % squares
            bag += [square * systems + row for row in range(systems)]
        bag += [(start + row) % systems for row in range(rest)]
        start = (start + rest) % systems
        # Assign the rows in the bag to the lane's blocks so that a unit gets the rows that it has had least often: the cost of a
        # row is how often the block's unit has had it. The small noise breaks ties at random, below any real difference.
        before = [used.setdefault(unit, np.zeros(rows, dtype=np.int64)) for unit in queue]
        cost = np.array([counts[bag] for counts in before], dtype=np.float64).reshape(len(queue), len(bag))
        _, columns = linear_sum_assignment(cost + 1e-3 * random.random(cost.shape))
        values = [bag[column] for column in columns]
        for counts, row in zip(before, values, strict=True):
            counts[row] += 1
        rows_of_lanes.append(values)
    return rows_of_lanes


def _controls_of_lanes(
    lengths: Sequence[int], systems: int, kinds: Sequence[Control], share: float, random: np.random.Generator
) -> list[list[tuple[Control, ...]]]:
    """Controls for each block: spread evenly along a lane, kinds in turn, repeats only where enough was rated before."""
    a_block = systems * share / (1 - share) if kinds else 0.0
    marks: list[list[tuple[Control, ...]]] = []
    shift = 0.5
    for length in lengths:
        turn = _turns(kinds, random)
        lane: list[tuple[Control, ...]] = []
        for seq in range(length):
            count = int(np.floor((seq + 1) * a_block + shift) - np.floor(seq * a_block + shift))
            rated = seq * systems
            lane.append(tuple(_next_kind(turn, repeats=rated >= REPEAT_GAP + systems) for _ in range(count)))
        marks.append(lane)
        shift = (shift + length * a_block) % 1  # the next lane continues where this one stopped, so the share holds over all
    return marks


def _turns(kinds: Sequence[Control], random: np.random.Generator) -> list[Iterator[Control]]:
    """Kinds in turn, from a random one: with repeats, and without."""
    order = [kinds[index] for index in random.permutation(len(kinds))] if kinds else []
    fresh_kinds = [kind for kind in order if kind != "repeat"]
    return [_round(order), _round(fresh_kinds)]


def _round(kinds: Sequence[Control]) -> Iterator[Control]:
    while kinds:
        yield from kinds


def _next_kind(turn: list[Iterator[Control]], *, repeats: bool) -> Control:
    """The next kind; early on one that is no repeat, or a repeat all the same if the study has no other."""
    kind = next(turn[0])
    return kind if repeats or kind != "repeat" else next(turn[1], kind)
