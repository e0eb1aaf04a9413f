"""Threads, scratch folders, tarballs, tasks: what blocks and what waits. Knows no formats and no protocol."""
