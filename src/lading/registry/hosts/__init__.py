"""How each host is reached: settings, and the files they come from. Sends nothing."""
