"""Small tools for looking at text."""
