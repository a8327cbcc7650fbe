"""A durable workflow engine: sans-I/O machine, append-only journal, one small loop."""
