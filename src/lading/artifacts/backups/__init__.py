"""Whole repositories kept in image layouts and archives, and brought back. Where they come from and go is a store."""
