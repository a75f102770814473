"""What is done to live calls by request, a kind of action in each file."""
