"""Training of the small encoder that comes with the package; it stands above the stages and none of them needs it."""
