"""What differs between any two of anything: manifests, configs, layers, files, packages. It knows no command line."""
