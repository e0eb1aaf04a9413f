"""The distribution protocol as an ASGI application over a storage. Knows no files and no users."""
