"""The hall: where the players play, its doors and its wiring."""
