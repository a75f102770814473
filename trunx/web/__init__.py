"""HTTP in, JSON out: one resource, one file; the table of contents is `application.py`."""
