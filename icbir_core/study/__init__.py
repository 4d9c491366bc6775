"""Reading studies: what is shown blind to whom, and the append-only store of every rating."""
