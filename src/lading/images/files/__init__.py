"""The files in images: layers as they are read, and the file systems that they make. Knows no locations."""
