"""A storage that fetches from another registry what it lacks: a pull-through cache. Knows no HTTP of this registry."""
