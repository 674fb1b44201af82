"""What must survive a restart and is not on the FHIR server."""
