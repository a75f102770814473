"""What happens: a call walks its tree. The outside is reached through the Protocols of `ports.py` only."""
