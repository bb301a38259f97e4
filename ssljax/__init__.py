"""ssljax."""
