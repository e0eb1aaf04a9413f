"""The transports: one request out, one answer back, streamed both ways. Knows no registries."""
