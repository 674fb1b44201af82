"""What must survive a restart and is not on the FHIR server: which plans are being written, and answers given."""
