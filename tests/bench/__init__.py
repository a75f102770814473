"""`make bench`: figures for the issue's targets, in one run and on one machine; not a test."""
