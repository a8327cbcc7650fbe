"""The desk: whatever a person or a program does with runs, here or at a hall elsewhere."""
