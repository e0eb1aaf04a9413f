"""Access to the embedded registry: its users, tokens and rules, and the gate that applies them. Knows no content."""
