"""Boards for the tests: a plain one, and one in which every text from outside tries to be something else."""

from __future__ import annotations

import io
import math
from dataclasses import replace

from PIL import Image

from harness.leaderboard.frame import Answer, Board, Cell, ExampleView, Grouping, PublishedCell, PublishedRow, PublishedTable, Row
from harness.store.numbers import Column
from harness.store.published import Source
from harness.suites.examples import Failure

COLUMNS = (
    Column("cider", "CIDEr", description="Consensus with the references."),
    Column("rep-2", "rep-2", higher_is_better=False),
    Column("length", "Length", higher_is_better=None, percent=False),
)

PAYLOAD = "document.documentElement.id='pwned'"
"""What hostile text tries to run; a browser test sees whether it did."""

HOSTILE = (
    f"<script>{PAYLOAD}</script>",
    f"</script><script>{PAYLOAD}</script>",
    f'"><img src=x onerror="{PAYLOAD}">',
    f"</bdi></style></title><svg onload={PAYLOAD}>",
    f"'; {PAYLOAD}; //" + "{{ 7 * 7 }}{% raw %}",
    "line\u2028separator\u2029paragraph\x00nul\x1b[31m",
    "\u202egnp.exe\u2066 override \ud800 lone",
    "a | b `code` **bold** [link](javascript:alert(1)) <b>\n\n# heading &lt;i&gt;",
    '=HYPERLINK("http://example.org")',
)


def png(colour: str = "red", size: int = 48) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


def cell(value: float | None, *, signature: str = "cider|tok:ptb|v:0.1.0", spread: float = 0.05, n: int = 64) -> Cell:
    if value is None:
        return Cell("", math.nan, signature=signature)
    return Cell("", value, value - spread, value + spread, n, 64 - n, signature)


def row(decoder: str, cider: float | None, rep: float = 0.1, *, tokenizer: str = "ptb", failed: int = 0) -> Row:
    n = 64 - failed
    return Row(
        suite="toybox-plain",
        decoder=decoder,
        identity=f"{sum(map(ord, decoder)):08x}",
        cells={
            "cider": cell(cider, signature=f"cider|tok:{tokenizer}|v:0.1.0", n=n),
            "rep-2": cell(rep, signature="rep|v:0.1.0", n=n),
            "length": cell(9.125, signature="length|v:0.1.0", spread=0.5, n=n),
        },
        decoded=n,
        failed=failed,
        total=64,
        complete=True,
    )


GROUPING = Grouping("paired permutation test", 10_000, "Holm", 0.05, 0)


def lettered(shown: Row, letters: str) -> Row:
    """The row with significance groups in its CIDEr cell."""
    return replace(shown, cells={**shown.cells, "cider": replace(shown.cells["cider"], letters=letters)})


def lettered_board() -> Board:
    """The plain board after its tests: magic and clipre cannot be told apart, nor clipre and the rest."""
    shown = board()
    letters = {"magic": "a", "clipre": "ab", "greedy": "b", "constant": "b", "contrastive": "b"}
    rows = tuple(lettered(each, letters.get(each.decoder, "")) for each in shown.rows)
    return replace(shown, rows=rows, grouping=GROUPING)


def board() -> Board:
    """Seven runs: ties, a failure, another tokenizer, an unavailable metric, a constant sentence, an incomplete run."""
    clipre = row("clipre", 0.6, 0.02)
    nucleus = row("nucleus", 0.05, 0.0)
    rows = (
        row("greedy", 0.1, 0.3),
        replace(row("magic", 0.9, failed=3), kind="image-aware", config={"k": 12, "alpha": 0.1}),
        replace(clipre, kind="image-aware", cells={**clipre.cells, "rep-2": Cell("", math.nan, unavailable="no Java here")}),
        row("elsewhere", 0.95, tokenizer="python"),
        replace(row("constant", 0.1), kind="constant"),
        replace(nucleus, complete=False, decoded=20, total=64),
        row("contrastive", 0.1, 0.01),
    )
    answers = tuple(Answer(each.decoder, each.identity, f"{each.decoder} saw a red kite.") for each in rows[1:])
    failure = Answer(rows[0].decoder, rows[0].identity, failure=Failure("UnreadableImage", "b.png is truncated"))
    examples = (
        ExampleView("scene-1", "", png(), ("A red kite.", "One kite, red."), (*answers, replace(failure, failure=None))),
        ExampleView("scene-2", "The park", None, ("A blue ball.",), (failure,)),
    )
    return Board(
        suite="toybox-plain",
        task="caption",
        columns=COLUMNS,
        rows=rows,
        examples=examples,
        description="Toybox, plain captions",
        models={"language model": "toybox:plain", "image text": "toybox:clip"},
        examples_total=64,
        created="2026-01-02T03:04:05+00:00",
        version="0.1.0",
        environment="Python 3.11",
        intervals="95 % intervals, BCa bootstrap over examples",
    )


def hostile_board() -> Board:
    """Every field that text can reach, filled with text that wants to act."""
    evil = " ".join(HOSTILE)
    columns = tuple(Column(f"m{index}{text}", text, description=text) for index, text in enumerate(HOSTILE))
    rows = tuple(
        Row(
            suite=evil,
            decoder=text,
            identity=f"{index:08x}",
            cells={
                each.name: Cell("", 0.5, 0.4, 0.6, 3, 1, text, letters=text)
                if index % 2
                else Cell("", math.nan, unavailable=text)
                for each in columns
            },
            decoded=3,
            failed=1,
            total=4,
            complete=index % 3 != 0,
            config={text: text},
            note=text,
        )
        for index, text in enumerate(HOSTILE)
    )
    answers = tuple(Answer(text, f"{index:08x}", text) for index, text in enumerate(HOSTILE))
    failures = tuple(Answer(text, "f" * 8, failure=Failure(text, text)) for text in HOSTILE)
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    examples = tuple(ExampleView(text, text, svg, HOSTILE, (*answers, *failures)) for text in HOSTILE)
    models = {text: text for text in HOSTILE}
    grouping = Grouping(evil, 1, evil, 0.05, 0)
    valid = [text.replace("\ud800", "") for text in HOSTILE]  # a file cannot hold half a character
    sources = tuple(Source(origin="third party", title=text, where=text) for text in valid)
    said = tuple(
        PublishedRow(text, "third party", index + 1, 3, 2, (1,), {columns[0].name: PublishedCell(0.5, "50.0", 0.1, text)})
        for index, text in enumerate(HOSTILE)
    )
    published = PublishedTable(evil, evil, evil, columns, said, sources, HOSTILE)
    return Board(
        evil,
        "caption",
        columns,
        rows,
        examples,
        "",
        evil,
        models,
        99,
        evil,
        evil,
        evil,
        evil,
        grouping,
        left_out=evil,
        remarks=(evil,),
        published=(published,),
    )
