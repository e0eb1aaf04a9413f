"""The distribution protocol as an ASGI application. Knows no files and no users."""
