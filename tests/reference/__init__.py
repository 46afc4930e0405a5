"""Plain, slow, readable transcriptions of the published algorithms: the oracles that the product decoders are held to.

One text at a time, no key/value cache, everything computed again at each step, straight from the equations. They call the
Hugging Face model and the open_clip model themselves and use nothing of SeeTell's
decoding.
"""
