"""What a person at a terminal sees, types and is asked."""
