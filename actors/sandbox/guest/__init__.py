"""What runs inside a sandbox: programs that import nothing of the house but each other."""
