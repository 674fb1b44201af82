"""What must survive a restart and is not on the FHIR server: plans on their way, answers, the audit."""
