"""Who may do what in the embedded registry. Knows no content."""
