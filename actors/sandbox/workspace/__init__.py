"""Workspaces: their files, disks, records and copies; commits and trees carried in and out."""
