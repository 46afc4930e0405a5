"""What is kept: the results folder, and one writer for each format.

runs.py         the layout of a results folder; the only module that builds its paths
answers.py      stored texts and failures
find.py         a run by the name a user types
durable.py      writes that survive a crash, hashes of files
sealed.py       documents that notice a change
lock.py         what `prefetch` fetched, pinned
published.py    numbers of papers
speed.py        measured speeds
numbers.py, text.py, toml.py, latex.py, markdown.py, page.py     how values are written, and what is escaped
"""
