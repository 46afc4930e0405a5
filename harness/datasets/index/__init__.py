"""Indices of features on disk: images or captions, found again by a text or an image.

manifest.py    what a finished index says about itself; only a folder with one is whole
features.py    features written in checked blocks, so that a build that was killed can be resumed
kinds.py       flat, IVF or HNSW: which one by size, how each is built, read and asked
sources.py     where images and captions come from: folders, zip and tar archives, data sets, text files
build.py       from a source to a whole index
query.py       a whole index, memory-mapped, and its nearest rows
"""
