"""Work that several processes share: one chunk of eight films a job, in the PostgreSQL that the workspace lies in."""
