"""Ask whether the features help a click model, on later days than it was trained on; or from files."""

import sys

from bannermap.experiment.job import files_mode, stage
from bannermap.features.counted import counted_events, counted_file_events, file_assignment
from bannermap.platform.cli import Job, main

EXTRAS = ("experiment",)  # of pyproject.toml: the launcher installs them
FILES = files_mode(counted_file_events, file_assignment)
JOB = Job("evaluate_features", "Ask whether the features help a click model; or from files.", [stage(counted_events)], FILES)

if __name__ == "__main__":
    sys.exit(main(JOB))
