"""The formats as immutable values over the exact bytes. Pure: no I/O, no async, no clock."""
