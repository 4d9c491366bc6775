"""What the page Rate needs beside the viewer: blind panes, and the list that is ordered by drag or keys."""
