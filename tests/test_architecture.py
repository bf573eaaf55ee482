"""The shape of the code: light imports, pure modules, columns declared in one place, a current table reference."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from repository import ROOT

from bannermap.platform import tables

SOURCE = ROOT / "src/bannermap"
SPARK_MODULES = {"job.py", "transforms.py"}
MORE_SPARK_MODULES = {
    *("clustering/distributed.py", "clustering/passes.py", "clustering/engine.py", "sample/summary.py"),
    *("clustering/lineage.py", "clustering/keepers.py", "clustering/assignment.py", "clustering/assignment_job.py"),
    *("clustering/forest_merge.py", "clustering/keeping.py", "platform/checkpoints.py"),
    *("clustering/search.py", "clustering/cell_search.py", "clustering/auditing.py"),
    *("features/events.py", "features/files.py", "features/intake.py", "features/publication.py"),
    *("report/source.py", "report/gather.py", "report/gather_analyses.py", "report/lending.py"),
    *("experiment/gathering.py", "features/counted.py"),
    *("analytics/days.py", "analytics/views.py", "analytics/attributes.py"),
    *("embedding/encoders/devices.py", "embedding/importing.py", "embedding/calibrating.py", "embedding/making.py"),
    *("features/users.py", "features/proofs.py", "features/republication.py", "features/erasure.py", "features/gating.py"),
    *("features/layout.py", "features/inputs.py", "features/counting.py"),
    *("lab/strategies/spark_ml.py", "lab/gathering.py", "lab/training.py", "lab/assigning.py"),
    *("lab/sampling.py", "embedding/sample.py"),
    *("clustering/lending.py", "lab/applying.py", "lab/applied.py", "lab/sheets.py", "experiment/grid_tables.py"),
}


def modules():
    return sorted(p for p in SOURCE.rglob("*.py"))


def imported(path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_the_spark_side_of_a_stage_knows_spark(path):
    allowed = path.name in SPARK_MODULES or "platform" in path.parts or str(path.relative_to(SOURCE)) in MORE_SPARK_MODULES
    assert allowed or not {"pyspark", "delta"} & imported(path)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_columns_are_declared_in_one_place(path):
    calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    names = {getattr(f, "id", getattr(f, "attr", "")) for f in calls}
    declares = path.name == "frames.py" or path.parent.name == "tables"
    assert declares or not names & {"Table", "StructField", "fromDDL"}


def test_the_launcher_needs_the_standard_library_only():
    for path in (SOURCE / "launcher").glob("*.py"):
        assert imported(path) <= set(sys.stdlib_module_names) | {"bannermap"}, path.name


def test_the_package_knows_no_job():
    jobs = {p.stem for p in (ROOT / "jobs").glob("*.py")}
    for path in modules():
        assert not imported(path) & jobs, path.name


def test_importing_the_packages_loads_nothing_heavy():
    heavy = "{'pyspark', 'torch', 'faiss', 'numba', 'transformers', 'pandas'}"
    packages = ", ".join(f"bannermap.{p.name}" for p in SOURCE.iterdir() if (p / "__init__.py").exists())
    code = f"import sys, {packages}, bannermap.platform.cli, bannermap.platform.storage; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_encoders_are_imported_when_they_are_configured():
    heavy = "{'torch', 'transformers', 'safetensors', 'huggingface_hub'}"
    modules = "bannermap.embedding.job, bannermap.embedding.importing, bannermap.embedding.encoders.chain"
    code = f"import sys, {modules}; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_table_reference_is_current():
    assert (ROOT / "docs/tables.md").read_text() == tables.reference() + "\n"


def test_every_table_names_its_keys_and_partitions():
    for table in tables.ALL_TABLES:
        assert set(table.key) | set(table.partition_by) <= set(table.columns), table.name
        assert all(": " in text for text in table.columns.values()), table.name
