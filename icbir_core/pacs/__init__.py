"""The hospital's archive: films come from it, and results go back to it as DICOM objects."""
