"""Taper arithmetic and rules. Standard library and `careplan.errors` only: no input, no output, no clock."""
