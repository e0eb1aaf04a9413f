"""Edits: values that say what is to be changed of an image or an index, and how that is done. Knows no locations."""
