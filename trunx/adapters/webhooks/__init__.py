"""Brings events to the endpoints that accounts have named."""
