"""Where examples come from; one module a format. Registered under the entry-point group `seetell.datasets`."""
