"""Reading and editing images: what is in a manifest, a config, a layer."""
