"""Edits: values that say what is to be changed of an image or an index, and their application.

Knows no locations.
"""
