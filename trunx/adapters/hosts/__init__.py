"""Brings sounds to every Asterisk."""
