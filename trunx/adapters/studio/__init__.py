"""Makes sounds of files, in processes of its own."""
