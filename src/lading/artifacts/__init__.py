"""Artifacts: any files as the layers of a manifest, in a registry or in another place. Commands are not known here."""
