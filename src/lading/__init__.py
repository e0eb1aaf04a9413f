"""Container image manifests, registries and OCI artifacts, without a daemon."""
