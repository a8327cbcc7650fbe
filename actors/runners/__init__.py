"""Test runners: started inside a sandbox, believed only as far as they prove."""
