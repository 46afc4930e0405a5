"""What the verbs of the command line do: call the harness, show the outcome, choose the exit code."""
