"""DICOM films without identifiers, by the Basic Application Level Confidentiality Profile (PS3.15 E)."""
