"""Explanations for people: check, explain, pull limits, TLS. Nothing on the data path imports this room."""
