"""What Alembic runs: the migrations, in the connection and the transaction that it was handed."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
