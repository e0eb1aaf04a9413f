"""The storages of the embedded registry: in memory, or in a folder of layouts. They know no HTTP."""
