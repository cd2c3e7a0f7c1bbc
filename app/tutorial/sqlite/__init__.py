"""Django's SQLite backend, except that connecting never creates the file."""
