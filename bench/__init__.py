"""Scenarios in which lading is measured beside its peers: `make bench`, or `python -m bench.names`."""
