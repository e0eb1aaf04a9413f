"""Scopes, challenges, tokens and credentials: how a request is authenticated. Knows no content."""
