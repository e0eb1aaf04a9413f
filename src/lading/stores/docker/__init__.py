"""Docker archives and engines. Knows no registries."""
