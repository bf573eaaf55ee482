"""The launcher's one error: a sentence with the mend."""


class Problem(Exception):
    """Something that a person has to mend before anything can run; its text is all that is printed."""
