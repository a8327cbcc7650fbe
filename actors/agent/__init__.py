"""One agent: a frozen identity, its limits and the loop that runs it."""
