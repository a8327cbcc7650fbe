"""Git on the host: objects only, never in a tree that an agent wrote."""
