"""Where the embedded registry keeps content: memory or a folder of layouts. Knows no HTTP."""
