"""What stands around every page: theme, notice, foot."""
