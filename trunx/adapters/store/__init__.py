"""What is kept: rows in the database, and the journal for what it could not take."""
