"""The notebooks run from their first cell to their last on a real warehouse, in a kernel of their own."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from processes import ROOT


@pytest.mark.slow
def test_exploring_clusters_leads_from_tables_to_pictures(chain, monkeypatch):
    _, warehouse, _ = chain
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    monkeypatch.setenv("BANNERMAP_WAREHOUSE", warehouse.root)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    notebook = nbformat.read(ROOT / "notebooks/01_explore_clusters.ipynb", as_version=4)
    done = NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(ROOT / "notebooks"))
    outputs = [o for cell in done.cells if cell.cell_type == "code" for o in cell.outputs]
    shown = [o.get("data", {}) for o in outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert sum("data:image/webp;base64," in "".join(d.get("text/html", "")) for d in shown) >= 6
    assert sum("image/png" in d for d in shown) == 2
