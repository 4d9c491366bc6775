"""A search as files: one self-contained HTML, PDF, and the ranking as CSV and JSON."""
