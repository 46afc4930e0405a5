"""Metrics as rows and finalisers; one module a family. Registered under the entry-point group `seetell.metrics`."""
