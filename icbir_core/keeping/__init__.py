"""Keeping a workspace: copies of it while it is in use, what an earlier version made, and what can be mended."""
