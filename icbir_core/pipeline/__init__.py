"""What several rooms do together: the demonstration, downloads, the films for the checks."""
