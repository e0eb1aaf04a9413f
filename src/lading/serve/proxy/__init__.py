"""A storage that gets from another registry what it lacks."""
