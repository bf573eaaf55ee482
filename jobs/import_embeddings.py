"""Import vectors that were made elsewhere, under an encoder_id of their own."""

import argparse
import sys

from bannermap.embedding.importing import Import, import_stage
from bannermap.platform.cli import Job, Request, Stage, main


def add_options(options: argparse.ArgumentParser) -> None:
    """Which vectors, whose, and what their ids name."""
    options.add_argument("--vectors", required=True, help="Parquet or Delta, one vector a row")
    options.add_argument("--encoder-id", required=True, help="who made them; 'external-' is put in front")
    options.add_argument(
        "--id-kind", choices=("banner_id", "content_hash"), default="banner_id", help="what ids name; banner_id without"
    )
    options.add_argument("--id-column", default="id", help="column of the ids; id without")
    options.add_argument("--vector-column", default="vector", help="column of the vectors; vector without")


def stage(given: argparse.Namespace) -> Stage:
    """The stage that the options ask for."""
    return import_stage(Import(given.vectors, given.encoder_id, given.id_kind, given.id_column, given.vector_column))


JOB = Job("import_embeddings", "Import vectors that were made elsewhere.", [], request=Request(add_options, stage))

if __name__ == "__main__":
    sys.exit(main(JOB))
