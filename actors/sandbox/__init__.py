"""Where untrusted code runs: one protocol, several levels of isolation."""
