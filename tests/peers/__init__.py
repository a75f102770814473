"""The outside world of the tests: real servers, and the ears that judge what they let a caller hear."""
