"""Indexes: which entries images and indexes give them, and how they are made and changed."""
