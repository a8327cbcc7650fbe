"""The players: who does the work, and with which hands."""
