"""What a reader draws on a film: records, the numbers that they measure, and their lines on a picture."""
