"""What is asked: suites in TOML, the specs and identities that follow from them, examples, and the registry of plug-ins.

spec.py         `Suite` and `RunSpec`, checked; a run's identity
tables.py       the TOML of a suite: packaged or a file, with `extends` and `--set`
settings.py     `--set` values
sections.py     the strict base model of documents, and what is wrong with one as a sentence
registry.py     plug-ins by entry point
code.py         where a plug-in's code comes from, and its hash
examples.py     `Example` and `Sample`, seeds
provenance.py   the environment's record, `Signature`
wording.py      titles of stories, and cutting a text to sentences
places.py       folders outside a results folder: caches
"""
