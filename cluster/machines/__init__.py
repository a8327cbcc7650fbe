"""The machines: a Ray cluster started here or joined, and where on it things are."""
