"""The archive (PACS) on the pages: a study that a link names, the worklist, a query, and the films beside a film."""
