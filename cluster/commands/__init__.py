"""What `manta` can be told, a module per kind of command."""
