"""The distribution protocol: a repository in a registry, as a Store."""
