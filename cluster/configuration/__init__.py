"""Where settings and keys come from: flags, environment and files."""
