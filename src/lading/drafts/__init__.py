"""Manifest lists in the making, kept in Docker's own local store."""
