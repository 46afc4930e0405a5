"""`seetell study ...`: people rate; and `seetell annotate`, which lets them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from harness.cli.flag_types import RESULTS, SEVERAL, AsJson, OutFile, ResultsFolder, Several, Switch

study = App(
    name="study",
    help="""Human evaluation: people rate the texts of complete runs from 1 to 5.

    Three commands from nothing to the first rating: `make demo` (or `seetell run toybox-plain`), then
    `seetell study create demo --suite toybox-plain --items 60`, then `seetell annotate demo`, which prints the link to open.

    A study is one file, results/studies/NAME/study.sqlite, with its own copy of the texts and images; with `--database URL` it is
    kept in PostgreSQL instead. Wherever NAME is asked for, a folder, a file or a postgresql:// URL will do as well.
    """,
)

By = Annotated[str, Parameter(help="Who does it, for the audit chain; your user name by default.")]


def annotate(
    study: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    browse: Annotated[bool, Parameter(name="--open", negative="--no-open")] = False,
    results: ResultsFolder = RESULTS,
) -> int:
    """Serve a study, so that people can rate: pages, rating screen and database access in one process, until Ctrl-C.

    Annotators open an invitation link (`seetell study create` and `study invite` print them; while nobody has joined, this prints
    one too). Those who run the study open `/admin` with the secret that `study create` printed.
    To let other machines in, put a proxy with HTTPS in front, or listen on them all: `--host 0.0.0.0`.

    Args:
        study: A name under results/studies, a study's folder or file, or a postgresql:// URL.
        host: The address to listen on.
        port: The port to listen on.
        browse: Open a browser.
    """
    from harness.cli.study import annotate as annotating

    annotating.serve(study, host, port, browse, results)


@study.command
def create(
    name: str,
    /,
    *,
    suite: str,
    runs: Several = (),
    aspects: Several = (),
    items: int = 200,
    ratings_per_item: int | None = None,
    annotators: int | None = None,
    preset: str | None = None,
    seed: int = 0,
    title: str = "",
    controls: float = 0.1,
    practice: bool = True,
    images: Path | None = None,
    aspects_file: Path | None = None,
    guidelines: Path | None = None,
    consent: Path | None = None,
    database: str | None = None,
    url: str = "http://localhost:8501",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Make a study of complete runs, and print its plan, what it will take, and the first invitation.

    Every text is rated by the same number of people, each of whom sees an image once, with all its texts one after another in a
    balanced order (of stories: each story once, with other ones in between). A tenth of what they see are controls. Nobody who
    rates can tell which system wrote what.

    For example: `seetell study create pilot --suite toybox-plain --runs magic,beam,nucleus --items 50 --ratings-per-item 3`.

    Args:
        name: Of the study: small letters, digits, '.', '_' and '-'.
        suite: Whose runs; imported outputs are in a suite too (`seetell score FILE...` prints its name).
        runs: Runs to compare, by label or folder, as in magic,beam; every complete run but the constant one by default.
        aspects: What to rate; coherence, fluency, informativeness and relevance by default.
        items: How many images (or titles), drawn at random.
        ratings_per_item: People who rate each text; 3 by default, or the preset's.
        annotators: How many people the plan is balanced for; as many as ratings an item by default. More or fewer may come.
        preset: A published protocol: magic-2022 (four aspects, five ratings an item, sign test).
        seed: Everything random follows from it.
        title: What annotators read above the page; it must not name a system.
        controls: Share of texts that are controls; 0 for none.
        practice: Practice with feedback before the first rating, on examples that are not rated.
        images: Folder of images named after the examples, for imported outputs.
        aspects_file: TOML with aspects of your own: label, definition and five anchors each.
        guidelines: Markdown instead of the packaged guidelines.
        consent: Markdown instead of the packaged consent text.
        database: postgresql://user@host/name of an empty database, instead of a file.
        url: Where annotators will find the app; only for the printed link.
    """
    from harness.cli.study import create as commands

    return commands.create(
        name, suite, runs, aspects, items, ratings_per_item, annotators, preset, seed, title, controls, practice, images,
        aspects_file, guidelines, consent, database, url, results, as_json,
    )  # fmt: skip


@study.command
def serve(
    name: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    browse: Annotated[bool, Parameter(name="--open", negative="--no-open")] = False,
    results: ResultsFolder = RESULTS,
) -> int:
    """Serve a study, so that people can rate: the same as `seetell annotate`.

    Args:
        name: The study.
        host: The address to listen on.
        port: The port to listen on.
        browse: Open a browser.
    """
    from harness.cli.study import annotate as annotating

    annotating.serve(name, host, port, browse, results)


@study.command
def invite(
    name: str,
    /,
    *,
    uses: int = 1,
    expires: float = 30,
    role: Literal["annotator", "admin"] = "annotator",
    annotator: str | None = None,
    note: str = "",
    revoke: str | None = None,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
    url: str = "http://localhost:8501",
    by: By = "",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Make a link that lets people in. It is printed once: the study keeps only its hash.

    Args:
        name: The study.
        uses: How many people may come in with it.
        expires: Days for which it is good.
        role: What newcomers may do; an admin sees progress, quality and exports.
        annotator: Pseudonym (or id) of somebody who rates already, to go on at another device.
        note: For the list.
        revoke: Instead: take an invitation back, by its id from --list or its token.
        list_: Instead: show all invitations.
        url: Where annotators will find the app.
    """
    from harness.cli.study import manage as commands

    return commands.invite(name, uses, expires, role, annotator, note, revoke, list_, url, by, results, as_json)


@study.command
def status(name: str | None = None, /, *, results: ResultsFolder = RESULTS, as_json: AsJson = False) -> int:
    """Show how far a study is, who rates and how fast; without a name, every study there is.

    Args:
        name: The study.
    """
    from harness.cli.study import manage as commands

    return commands.status(name, results, as_json)


@study.command
def review(
    name: str,
    /,
    *,
    dismiss: int | None = None,
    exclude: str | None = None,
    revert: int | None = None,
    pause: str | None = None,
    resume: str | None = None,
    reason: str = "",
    by: By = "",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Show what should be looked at (speed, straight lines, controls, drift), or sign a decision about it.

    Nothing is rejected by itself, and nothing is deleted: an exclusion says that ratings do not count, and can be taken back.

    Args:
        name: The study.
        dismiss: Number of a signal that is no reason to exclude.
        exclude: Number of a signal whose annotator's ratings are not to count; or annotator:NAME, or submission:EVENT-ID.
        revert: Number of an exclusion to take back.
        pause: Annotator who is to get no more work.
        resume: Annotator who is to get work again.
        reason: Why; needed for every decision.
    """
    from harness.cli.study import manage as commands

    return commands.review(name, dismiss, exclude, revert, pause, resume, reason, by, results, as_json)


@study.command
def analyze(
    name: str,
    /,
    *,
    format: Annotated[Literal["table", "md", "json", "tex"], Parameter(name=["--format", "-f"])] = "table",
    out: OutFile = None,
    excluded: Literal["exclude", "include"] = "exclude",
    seed: int = 0,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Say what the ratings show: means, agreement, which systems can be told apart, and which metric agrees with people.

    Intervals are over other items and other annotators; every "no difference found" says how large a difference would have been
    found. Until the study is frozen, systems have stand-in names; afterwards `seetell leaderboard` shows the means beside the
    metrics. The same ratings and seed give the same bytes. docs/human-statistics.md explains every number.

    For example: `seetell study analyze pilot --out pilot.tex`.

    Args:
        name: The study.
        format: How to show it: tables, Markdown, JSON or LaTeX (booktabs).
        out: File to write instead of standard output; its suffix tells the format.
        excluded: Whether ratings that were excluded count; the report shows the ranking with them and without either way.
        seed: Of every bootstrap and permutation.
    """
    from harness.cli.study import results as study_analysis

    return study_analysis.analyze(name, "json" if as_json else format, out, excluded, seed, results)


@study.command
def power(
    name: str | None = None,
    /,
    *,
    items: Annotated[tuple[int, ...], SEVERAL] = (100, 200, 400),
    ratings_per_item: Annotated[tuple[int, ...], SEVERAL] = (3, 5),
    annotators: int = 12,
    systems: int | None = None,
    aspects: int | None = None,
    differences: Annotated[tuple[float, ...], SEVERAL] = (0.1, 0.2, 0.3, 0.5),
    seconds: float | None = None,
    stories: Switch = False,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Show what plans of several sizes would find, and what they cost: before a study, or after a pilot.

    The chance of finding a true difference between two systems, with Holm's correction over all pairs and aspects; the smallest
    difference found with 80 % power; hours of work. More items help more than more ratings of the same items.

    For example: `seetell study power --items 100 200 400 --ratings-per-item 3 5 --systems 6`, or, with the variances and the
    pace of a pilot: `seetell study power pilot`.

    Args:
        name: A study to take variances, pace, systems, aspects and the way of showing from; typical ones are assumed without.
        items: Numbers of items to compare.
        ratings_per_item: Numbers of ratings an item to compare.
        annotators: How many people will rate.
        systems: How many systems will be compared; the pilot's, or 6.
        aspects: How many aspects are rated; the pilot's, or 4.
        differences: True differences in points whose chance is shown.
        seconds: To rate one text on all aspects; the pilot's median, or 25.
        stories: One text a visit, instead of all of an image's texts together; as in the pilot.
    """
    from harness.cli.study import results as study_analysis

    return study_analysis.power(
        name, items, ratings_per_item, annotators, systems, aspects, differences, seconds, stories, results, as_json
    )


@study.command
def export(
    name: str,
    format: Annotated[Literal["csv", "jsonl", "parquet", "all"], Parameter(negative="")] = "all",
    /,
    *,
    out: OutFile = None,
    by: By = "",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Write ratings and notes with a codebook, a datasheet to complete, and hashes of every file.

    Pseudonyms stay behind: annotators are random numbers. The files name the systems, so keep them from people who still rate.

    Args:
        name: The study.
        format: csv, jsonl, parquet or all.
        out: Folder; `export` in the study's by default.
    """
    from harness.cli.study import files as commands

    return commands.export(name, format, out, by, results, as_json)


@study.command(name="import")
def import_(
    source: Path,
    name: str,
    /,
    *,
    database: str | None = None,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Make a (closed) study from ratings in files: an export comes back the same to the hash.

    Ratings made elsewhere need the columns system, item, annotator, aspect and value, one row a value; the others are in the
    codebook that `seetell study export` writes.

    Args:
        source: The folder of an export, or a .csv, .jsonl or .parquet file.
        name: Of the new study.
        database: postgresql:// URL of an empty database, instead of a file.
    """
    from harness.cli.study import files as commands

    return commands.import_(source, name, database, results, as_json)


@study.command
def backup(
    name: str,
    /,
    *,
    out: OutFile = None,
    restore: Path | None = None,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Copy a study while people rate, and check the copy. A copy of a SQLite study is a study: every verb takes it.

    Args:
        name: The study.
        out: File or folder; `backups` in the study's folder by default. Nothing is overwritten.
        restore: Instead: put this copy in the place of a study that is gone.
    """
    from harness.cli.study import files as commands

    return commands.backup(name, out, restore, results, as_json)


@study.command
def freeze(name: str, /, *, by: By = "", results: ResultsFolder = RESULTS, as_json: AsJson = False) -> int:
    """Close the ratings for good and let the systems be named. Forms that come later are kept, and do not count.

    Args:
        name: The study.
    """
    from harness.cli.study import manage as commands

    return commands.freeze(name, by, results, as_json)


@study.command
def verify(name: str, /, *, results: ResultsFolder = RESULTS, as_json: AsJson = False) -> int:
    """Check the audit chain, the hash of every form, and the counts. Exit code 2: something is not as it was.

    Args:
        name: The study.
    """
    from harness.cli.study import manage as commands

    return commands.verify(name, results, as_json)


@study.command
def move(
    name: str,
    /,
    *,
    to: str,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Move a study to another database, from SQLite to PostgreSQL for example, and compare the hashes of both.

    Meanwhile nobody can hand in forms; browsers keep them and send them again. Restart the app afterwards.

    Args:
        name: The study.
        to: postgresql://user@host/name of an empty database.
    """
    from harness.cli.study import files as commands

    return commands.move(name, to, results, as_json)


@study.command
def migrate(
    name: str,
    /,
    *,
    backup: bool = True,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Bring a study that an older SeeTell made to the layout of this one, after a backup. Stop the app before.

    Args:
        name: The study.
        backup: Copy it first.
    """
    from harness.cli.study import files as commands

    return commands.migrate(name, backup, results, as_json)
