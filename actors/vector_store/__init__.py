"""Where memory keeps its rows: full-text and vector search over labelled texts."""
