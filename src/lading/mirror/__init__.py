"""Mirrors: what is kept from where, and for how long, by a file that says so. Knows no command line."""
