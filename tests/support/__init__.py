"""What the tests stand on: real registries, real clients, and servers that misbehave on purpose.

Nothing here imports lading, so that a mistake in lading cannot hide itself.
"""
