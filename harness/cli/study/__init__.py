"""`study ...`: human evaluation. Each verb's file is imported when the verb is used."""

from __future__ import annotations

from cyclopts import App

study = App(
    name="study",
    help="""Human evaluation: people rate the texts of complete runs from 1 to 5.

    Three commands from nothing to the first rating: `make demo` (or `seetell run toybox-plain`), then
    `seetell study create demo --suite toybox-plain --items 60`, then `seetell annotate demo`, which prints the link to open.

    A study is one file, results/studies/NAME/study.sqlite, with its own copy of the texts and images; with `--database URL` it is
    kept in PostgreSQL instead. Wherever NAME is asked for, a folder, a file or a postgresql:// URL will do as well.
    """,
)
VERBS = (
    ("create", "create:create", "Make a study of complete runs, and print its plan, its cost, and the first invitation."),
    ("serve", "annotate:serve", "Serve a study, so that people can rate: the same as `seetell annotate`."),
    ("invite", "manage:invite", "Make a link that lets people in."),
    ("status", "manage:status", "Show how far a study is, who rates and how fast; without a name, every study there is."),
    ("review", "manage:review", "Show what should be looked at (speed, straight lines, controls, drift)."),
    ("analyze", "results:analyze", "Say what the ratings show."),
    ("power", "results:power", "Show what plans of several sizes would find, and what they cost."),
    ("export", "files:export", "Write ratings and notes with a codebook, a datasheet to complete, and hashes of every file."),
    ("import", "files:import_", "Make a (closed) study from ratings in files."),
    ("backup", "files:backup", "Copy a study while people rate, and check the copy."),
    ("freeze", "manage:freeze", "Close the ratings for good and let the systems be named."),
    ("verify", "manage:verify", "Check forms, texts, images, systems and decisions against the audit chain."),
    ("move", "files:move", "Move a study to another database."),
    ("migrate", "files:migrate", "Bring a study that an older SeeTell made to the layout of this one."),
)
"""Name, place in this package, and the beginning of the verb's help."""
for _name, _place, _help in VERBS:
    study.command(f"harness.cli.study.{_place}", name=_name, help=_help)
