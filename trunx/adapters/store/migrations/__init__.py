"""The steps that bring a database to the tables of today; Alembic runs them in `Database.migrate`.

A new step is a file in `versions/`, written by hand; one that was released is never changed.
"""
