"""What the patient gets: the plan as a leaflet and as calendar dates, and the diary to fill in.

Everything is made from the resources of a plan as a FHIR server keeps them, so that it works for a plan written long
ago as for a new one; nothing here reads or writes a server.
"""
