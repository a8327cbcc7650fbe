"""Commands: how one is passed on, started, fed, held back, drained and ended as a tree."""
