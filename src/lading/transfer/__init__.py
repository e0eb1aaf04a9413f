"""Content graphs from store to store."""
