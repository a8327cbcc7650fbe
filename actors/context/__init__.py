"""What a model sees of its conversation: pure functions over messages."""
