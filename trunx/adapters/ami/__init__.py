"""Asterisk's manager interface: what is asked of it, and what it tells."""
