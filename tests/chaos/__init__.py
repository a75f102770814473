"""Two hundred calls while everything that can die dies: `python -m tests.chaos`."""
