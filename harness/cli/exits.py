"""Exit codes of the command line."""

DONE, USER_ERROR, SOME_FAILED, INTERRUPTED = 0, 1, 2, 130
"""All well; something to put right; finished, but some examples failed; Ctrl-C."""
NOBODY_READS = 141
"""The reader of a pipe has gone, as a shell calls it."""
COULD_NOT_JUDGE = 2
"""Of `gate`, where 1 would say that something is worse."""
