"""What can go wrong while decoding, each with what was expected and the remedy.

SeeTellError                 every error that SeeTell raises on purpose; `harness.errors` hangs the rest of the tree here
├── ModelNotFound            a model name that cannot be resolved, or a folder that lacks a file
├── ModelMismatch            a model that cannot do what was asked (wrong activation, wrong tokenizer, no end token)
├── NeedMissing              a decoder that needs a model, an image or an index which the suite does not give
├── UnreadableImage          an image that is missing, truncated or no image
└── PromptTooLong            a prompt that leaves no room for new tokens
"""


class SeeTellError(Exception):
    """Base of all SeeTell errors: its text says what is wrong, what was expected, and the remedy.

    Raised for what a user can put right; the command line prints the text without a traceback.
    """


class ModelNotFound(SeeTellError):
    """A model name that cannot be resolved to files."""


class ModelMismatch(SeeTellError):
    """A model that loads but cannot play the part it was given."""


class NeedMissing(SeeTellError):
    """A decoder declared a need that nothing in the suite satisfies."""


class UnreadableImage(SeeTellError):
    """An image that cannot be opened; becomes a typed failure of its example, never a caption."""


class PromptTooLong(SeeTellError):
    """A prompt that fills the length limit or the model's context by itself."""
