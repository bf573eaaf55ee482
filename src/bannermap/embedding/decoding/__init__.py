"""Bytes to pictures, and pictures to what an encoder looks at."""
