"""Sandboxes in a directory of this machine: the levels `local` (bubblewrap) and `none`."""
