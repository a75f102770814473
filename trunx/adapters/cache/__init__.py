"""What is copied to Redis for calls, and what processes share there."""
