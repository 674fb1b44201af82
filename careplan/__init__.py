"""Reads what a patient takes from a FHIR R4 server and drafts an exact, cited taper."""

__version__ = "0.1.0"
