"""Ultravox: its agents, and the calls in which they talk to people."""
