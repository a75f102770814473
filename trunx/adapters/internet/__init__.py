"""Goes where users say: brings events to their endpoints, and fetches the audio that they name."""
