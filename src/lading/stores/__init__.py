"""The places besides registries where content lives: memory, layouts, archives, the Docker engine."""
