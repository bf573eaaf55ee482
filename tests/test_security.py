"""What docs/security.md promises and no stage's tests show: no code in data, no secret in a setting, and the list itself."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import typing

import pytest
from pydantic import BaseModel
from repository import ROOT

from bannermap.platform.config import load_settings
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import Settings

SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")])
RUNS_CODE = {"eval", "exec", "compile"}
LOADS_CODE = {
    *("pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load", "torch.load", "pandas.read_pickle"),
    *("pd.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "marshal.loads", "shelve.open"),
    *("torch.hub.load", "runpy.run_path", "os.system", "os.popen"),
}


def calls(path):
    """Calls of a file: the dotted name, and the keywords with constant values."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            constants = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            yield ast.unparse(node.func), constants


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_that_is_read_is_run(path):
    for name, constants in calls(path):
        assert name not in RUNS_CODE | LOADS_CODE, f"{path}: {name}"
        assert not constants.get("shell") and not constants.get("trust_remote_code"), f"{path}: {name}"
        assert name not in ("np.load", "numpy.load") or constants.get("allow_pickle") is False, f"{path}: {name}"
        assert constants.get("allow_pickle") is not True and constants.get("weights_only") is not False, f"{path}: {name}"
        if name.endswith("from_pretrained") and "Config" not in name and "Processor" not in name:
            assert constants.get("use_safetensors") is True, f"{path}: {name}"


def test_the_checks_see_what_they_are_for(tmp_path):
    for bad in ("pickle.loads(x)", "np.load(x)", "subprocess.run(x, shell=True)", "AutoModel.from_pretrained(x)", "eval(x)"):
        (tmp_path / "bad.py").write_text(bad)
        with pytest.raises(AssertionError):
            test_nothing_that_is_read_is_run(tmp_path / "bad.py")


def test_pyarrow_is_one_that_unpickles_nothing_of_a_file():
    """Before 14.0.1 a Parquet file could name an extension type whose pickle was loaded."""
    declared = [r for r in importlib.metadata.requires("bannermap") or [] if r.startswith("pyarrow")]
    assert declared and int(re.search(r">=(\d+)", declared[0])[1]) >= 15


def fields(model, prefix=""):
    """Names of all settings, nested ones too."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for part in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from fields(part, f"{prefix}{name}.")


def test_no_setting_holds_a_secret_only_names_of_variables():
    names = list(fields(Settings))
    assert "publish.uri_variable" in names and "encoder.remote.key_variable" in names
    suspicious = [n for n in names if re.search(r"password|secret|token$|credential|_uri|_key$|^uri|api_key", n)]
    assert not [n for n in suspicious if not n.endswith("_variable")]


def texts(model, prefix=""):
    """Names of settings of one text."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from texts(field.annotation, f"{prefix}{name}.")
        elif re.match(r"<class 'str'>|str \| None|typing\.Optional\[typing\.Annotated\[str,", repr(field.annotation)):
            yield f"{prefix}{name}"


def takes(name, address):
    try:
        load_settings(ROOT / "conf/base.yaml", [], [f"{name}={address}"])
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("address", ["https://me:wordofmouth@host/x", "https://host/x?api_key=wordofmouth"])
def test_every_setting_that_may_be_an_address_refuses_one_with_a_login_or_a_key(address):
    names = list(texts(Settings))
    assert {"paths.warehouse", "fetch.image_cache", "encoder.remote.endpoint", "lab.out"} <= set(names)
    free = {name for name in names if takes(name, address)}
    assert free == {"spark.app_name", "fetch.user_agent", "encoder.remote.model", "clustering.encoder_id"}  # none is a place


def test_no_file_of_the_configuration_holds_an_address_with_a_login():
    for path in (ROOT / "conf").rglob("*"):
        if path.is_file():
            assert not re.search(r"://[^\s/@:]+:[^\s/@]+@", path.read_text()), path


def test_every_test_that_the_threat_list_names_is_there():
    text = (ROOT / "docs/security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 20
    for path, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Threat")]
    assert rows and all("`tests/" in row for row in rows)
