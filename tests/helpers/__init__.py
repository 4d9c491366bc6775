"""What several tests share: made films, data sets and workspaces, and the stand-in for the retriever."""
