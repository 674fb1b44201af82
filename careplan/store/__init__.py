"""What must survive a restart and is not on the FHIR server: plans on their way, answers, the audit."""

TEMPORARY = "sqlite://"
"""A database that ends with the process: for the demo and for tests."""
