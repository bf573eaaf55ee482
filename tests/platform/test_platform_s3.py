"""What bannermap itself writes to S3, on a server that speaks its protocol: by pyarrow, and by S3A in a JVM without Spark."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyspark
import pytest
from faulty_proxy import KINDS, Weather, faulty_proxy
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
from repository import ROOT
from s3_server import BUCKET, running_s3, s3_jars, variables

from bannermap.launcher.checks import check_java
from bannermap.platform.claims import claimed, needs_one_writer
from bannermap.platform.config import load_settings
from bannermap.platform.errors import BusyError, ConfigError
from bannermap.platform.files import create_new, matches, modified_ms, path_exists, read_text, remove, rename, write_text
from bannermap.platform.image_cache import ImageCache
from bannermap.platform.session import check_s3, our_jars, our_settings
from bannermap.platform.settings import ClaimSettings
from bannermap.platform.whole_files import system_of, write_whole

ROOT_ON_S3 = f"s3a://{BUCKET}/warehouse"


@pytest.fixture(scope="module")
def weather():
    """Of all requests; calm."""
    return Weather(random.Random(1), delay_s=0.2)


@pytest.fixture(scope="module")
def on_s3(weather):
    """The environment that a job's processes have."""
    jars = s3_jars()
    with pytest.MonkeyPatch.context() as patch, running_s3() as port, faulty_proxy(port, weather) as proxy:
        for name, value in variables(proxy).items():
            patch.setenv(name, value)
        system_of.cache_clear()
        yield jars
    system_of.cache_clear()


@contextmanager
def hadoop_with(jars: str, given: dict[str, str]):
    """As much of a session as `platform.files` asks for: Spark's own jars, and these."""
    folder = Path(pyspark.__path__[0]) / "jars"
    bridge = next(folder.glob("py4j-*.jar"))
    port, process = launch_gateway(
        classpath=":".join([f"{folder}/*", *jars.split(",")]),
        jarpath=str(bridge),
        javaopts=["-Xmx200m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
        die_on_exit=True,
        return_proc=True,
        java_path=str(check_java()),
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        settings = gateway.jvm.org.apache.hadoop.conf.Configuration()
        for name, value in given.items():
            settings.set(name.removeprefix("spark.hadoop."), value)
        context = SimpleNamespace(_jvm=gateway.jvm, _jsc=SimpleNamespace(hadoopConfiguration=lambda: settings))
        yield SimpleNamespace(sparkContext=context, conf=SimpleNamespace(get=lambda name, default=None: default))
    finally:
        gateway.shutdown()
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def hadoop(on_s3, base_settings):
    """With the settings of a session; the endpoint Spark takes from the environment itself."""
    given = {**our_settings(base_settings.spark, []), "fs.s3a.endpoint": os.environ["AWS_ENDPOINT_URL"]}
    with hadoop_with(on_s3, given) as session:
        yield session


def test_small_files_are_written_read_listed_moved_and_removed(hadoop):
    write_text(hadoop, f"{ROOT_ON_S3}/a/one.json", "1")
    write_text(hadoop, f"{ROOT_ON_S3}/a/dt=2026-03-01/two.json", "2")
    assert set(modified_ms(hadoop, f"{ROOT_ON_S3}/a")) == {"one.json", "dt=2026-03-01"}
    rename(hadoop, f"{ROOT_ON_S3}/a/dt=2026-03-01", f"{ROOT_ON_S3}/b/dt=2026-03-01")
    assert read_text(hadoop, f"{ROOT_ON_S3}/b/dt=2026-03-01/two.json") == "2"
    assert not path_exists(hadoop, f"{ROOT_ON_S3}/a/dt=2026-03-01")
    remove(hadoop, f"{ROOT_ON_S3}/a")
    assert modified_ms(hadoop, f"{ROOT_ON_S3}/a") == {}


def test_an_object_that_is_there_is_never_replaced_by_one_that_must_be_new(hadoop):
    """S3A is told to overwrite, so what refuses is the condition that the server checks; it does so for one request at a time,
    unlike this server under a crowd of them."""
    path = f"{ROOT_ON_S3}/new/one.json"
    won = [create_new(hadoop, path, text) for text in ("first", "second", "third")]
    assert won == [True, False, False] and read_text(hadoop, path) == "first"
    assert create_new(hadoop, path, "first"), "the answer to a write that succeeded may have been lost"


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_whole_whatever_happens_to_a_fifth_of_the_requests(hadoop, weather, kind):
    """503, an answer that is late, and a reset before or after the deed, which the writer takes for a failure."""
    root, struck = f"{ROOT_ON_S3}/{kind}", weather.struck
    weather.kind, weather.share = kind, 0.2
    try:
        for number in range(4):
            write_text(hadoop, f"{root}/{number}/text", "text" * number)
            assert create_new(hadoop, f"{root}/{number}/new", "first") and not create_new(
                hadoop, f"{root}/{number}/new", "second"
            )
            write_whole(*system_of(f"{root}/{number}/whole"), lambda stream, size=number: stream.write(b"w" * size))
            rename(hadoop, f"{root}/{number}", f"{root}-there/{number}")
    finally:
        weather.kind = None
    assert weather.struck > struck
    found = {p: read_text(hadoop, p) for p in matches(hadoop, f"{root}-there", "*/*")}
    names = {"text": "text", "new": "first", "whole": "w"}
    made = {f"{n}/{name}": text if name == "new" else text * n for n in range(4) for name, text in names.items()}
    assert {path.removeprefix(f"{root}-there/"): text for path, text in found.items()} == made


def test_one_driver_writes_the_tables_of_a_warehouse_on_s3(hadoop):
    assert needs_one_writer(hadoop, ROOT_ON_S3)
    calm = ClaimSettings(heartbeat_s=600.0, expire_s=3600.0)
    with (
        claimed(hadoop, ROOT_ON_S3, "writer", "embed_banners of D", calm),
        pytest.raises(BusyError, match="embed_banners of D"),
        claimed(hadoop, ROOT_ON_S3, "writer", "another", calm),
    ):
        pass
    with claimed(hadoop, ROOT_ON_S3, "writer", "the next", calm) as second:
        assert second.number == 2


def test_a_file_of_a_task_is_whole_or_not_there(on_s3):
    system, path = system_of(f"{ROOT_ON_S3}/_staging/part.parquet")
    assert system.type_name == "s3"

    def cut_off(stream):
        stream.write(b"half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_whole(system, path, cut_off)
    assert system.get_file_info(path).type.name == "NotFound"
    write_whole(system, path, lambda stream: stream.write(b"whole"))
    assert system.open_input_stream(path).read() == b"whole"


def test_pictures_are_kept_in_a_bucket(on_s3):
    cache, data = ImageCache(f"s3://{BUCKET}/images"), b"a picture"
    name = hashlib.sha256(data).hexdigest()
    assert cache.get(name) is None
    cache.put(name, data)
    assert cache.get(name) == data and cache.remove(name) and not cache.remove(name)


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("spark.extra={spark.hadoop.fs.s3a.secret.key: x}", "is a credential.*standard chain"),
        ("spark.extra={spark.hadoop.fs.s3a.bucket.logs.access.key: x}", "is a credential"),
        ("spark.extra={fs.azure.account.key.me.dfs.core.windows.net: x}", "is a credential"),
        ("paths.warehouse=s3a://AKIA:wordofmouth@bucket/warehouse", "holds a login"),
        ("paths.images=https://me:wordofmouth@host/images", "holds a login"),
        ("paths.event_log=s3://bucket/events", "write s3a://bucket/events"),
        ("paths.event_log=s3://AKIA:wordofmouth@bucket/events", "holds a login"),
        ("paths.warehouse=s3a://AKIA:word/of/mouth+wordofmouth@bucket/warehouse", "holds a login"),
        ("spark.extra={spark.executorEnv.AWS_SECRET_ACCESS_KEY: wordofmouth}", "is a credential"),
        ("spark.extra={spark.executorEnv.AWS_ACCESS_KEY_ID: wordofmouth}", "is a credential"),
        ("spark.extra={spark.executorEnv.BANNERMAP_MONGODB_URI: wordofmouth}", "is a credential"),
        ("spark.extra={spark.authenticate.secret: wordofmouth}", "is a credential.*--properties-file"),
        ("spark.extra={spark.ssl.keyStorePassword: wordofmouth}", "is a credential"),
        ("spark.extra={spark.hadoop.fs.azure.sas.fixed.token.me.dfs.core.windows.net: wordofmouth}", "is a credential"),
        ("spark.extra={spark.jars.repositories: 'https://me:wordofmouth@host/maven'}", "address with a login"),
        ("spark.extra={spark.jars: 'https://a/b.jar,https://host/c.jar?sig=wordofmouth'}", "address with a key in its query"),
    ],
)
def test_a_configuration_holds_no_credentials(assignment, told):
    with pytest.raises(ConfigError, match=told) as error:
        load_settings(ROOT / "conf/base.yaml", [], [assignment])
    assert "wordofmouth" not in str(error.value)


ADDRESSES = (
    *(
        "paths.warehouse",
        "paths.banner_log",
        "paths.event_log",
        "paths.images",
        "paths.report",
        "fetch.image_cache",
        "spark.master",
    ),
    *("encoder.remote.endpoint", "encoder.weights", "encoder.calibration", "analytics.user_attributes", "experiment.out"),
    *("lab.out", "lab.targets", "lab.pairs", "monitoring.metrics_folder", "sample.out"),
)


@pytest.mark.parametrize("setting", ADDRESSES)
@pytest.mark.parametrize(
    "address", ["s3a://AKIA:wordofmouth@bucket/x", "https://wordofmouth@host/x", "hdfs://me:wordofmouth@host/x"]
)
def test_no_address_holds_a_login(setting, address):
    with pytest.raises(ConfigError, match=rf"{setting}: the \w+ address holds a login") as error:
        load_settings(ROOT / "conf/base.yaml", [], [f"{setting}={address}"])
    assert "wordofmouth" not in str(error.value)


@pytest.mark.parametrize("setting", ADDRESSES)
def test_no_address_holds_a_key_in_its_query(setting):
    mend = r".*encoder\.remote\.key_variable"
    with pytest.raises(ConfigError, match=rf"{setting}: the https address holds a key in its query{mend}") as error:
        load_settings(ROOT / "conf/base.yaml", [], [f"{setting}=https://host/x?size=9&api_key=wordofmouth"])
    assert "wordofmouth" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apikey", "API-Key", "x-api-key", "key", "subscription-key", "access_key", "AWSAccessKeyId", "api%5Fkey"),
        *("access_key_id", "auth_key", "authkey", "license-key", "passphrase", "sas"),
        *("token", "access_token", "accessToken", "X-Amz-Security-Token", "client_secret", "password", "pwd"),
        *("sig", "Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Goog-Signature", "auth", "jwt"),
    ],
)
@pytest.mark.parametrize("before", ["?", "?v=2&", "?v=2;", "#", "?v=a/b&", "%3F", "?q=a%20b&", "?q=%0A&"])
def test_a_key_is_found_under_its_usual_names_anywhere_in_a_query(name, before):
    with pytest.raises(ConfigError, match="holds a key in its query") as error:
        load_settings(ROOT / "conf/base.yaml", [], [f"encoder.remote.endpoint=https://host/x{before}{name}=wordofmouth&v=1"])
    assert "wordofmouth" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "https://host/x?max_tokens=5",
            "https://host/x?sort_key=a&tokenizer=b",
            "https://host/x?design=1",
            "https://host/x?token=",
            "https://host/x?auth=none&key=false",
        ),
        *("s3a://bucket/token=a/key=b", "s3a://bucket/day?/key=b", "/folder/what?key=b"),
    ],
)
def test_other_queries_and_folders_stay_possible(address):
    found = load_settings(ROOT / "conf/base.yaml", [], [f"encoder.remote.endpoint={address}"])
    assert found.encoder.remote.endpoint == address


def test_settings_that_name_where_credentials_are_stay_possible(base_settings):
    names = {
        "spark.hadoop.fs.s3a.assumed.role.arn": "role",
        "spark.hadoop.fs.s3a.endpoint": "https://s3.example",
        "spark.hadoop.fs.s3a.aws.credentials.provider": "a.Provider",
        "spark.hadoop.fs.azure.sas.token.provider.type": "a.Provider",
        "spark.authenticate.secret.file": "/run/secrets/spark",
        "spark.kubernetes.authenticate.driver.oauthTokenFile": "/run/secrets/token",
        "spark.kubernetes.executor.secrets.aws": "/run/secrets",
        "spark.kubernetes.driver.secretKeyRef.BANNERMAP_MONGODB_URI": "mongodb:uri",
        "spark.executorEnv.BANNERMAP_MONGODB_URI_FILE": "/run/secrets/uri",
    }
    addresses = {
        "paths.warehouse": "abfs://container@account.dfs.core.windows.net/warehouse",
        "paths.event_log": "hdfs://me@host:8020/events",
        "paths.banner_log": "s3a://bucket/from:me@example.com",
        "encoder.remote.endpoint": "https://host:8080/path@v1",
        "spark.master": "k8s://https://host:6443",
    }
    given = [f"{name}={address}" for name, address in addresses.items()]
    settings = load_settings(ROOT / "conf/base.yaml", [], [f"spark.extra={json.dumps(names)}", *given])
    assert settings.spark.extra == names and settings.paths.warehouse.startswith("abfs://container@")
    kept = json.dumps(our_settings(base_settings.spark, []))
    assert "DefaultCredentialsProvider" in kept and "secret.key" not in kept


def test_jars_for_s3_come_with_a_path_that_needs_them_only(base_settings, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for folder in ("jars", "s3-jars"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.jar").touch()
    names = [Path(j).name for j in our_jars(base_settings.paths)]
    on_s3 = base_settings.paths.model_copy(update={"event_log": "s3a://bucket/events"})
    assert names == ["jars.jar"] and [Path(j).name for j in our_jars(on_s3)] == ["jars.jar", "s3-jars.jar"]


def test_a_session_without_jars_for_s3_is_refused_where_spark_reads_it(hadoop, base_settings):
    on_s3 = base_settings.paths.model_copy(update={"warehouse": ROOT_ON_S3})
    check_s3(hadoop, on_s3)
    with hadoop_with("", {}) as other:
        with pytest.raises(ConfigError, match=r"no jar that Spark was given reads it.*s3-jars"):
            check_s3(other, on_s3)
        check_s3(other, base_settings.paths)
        check_s3(other, None)
    with hadoop_with("", {"fs.s3a.impl": "org.apache.hadoop.fs.LocalFileSystem"}) as with_its_own:
        check_s3(with_its_own, on_s3)


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("spark.kubernetes.driverEnv.BANNERMAP_MONGODB_URI", "x", True),
        ("spark.yarn.appMasterEnv.MY_DATABASE", "mongodb+srv://me:word@host/", True),
        ("spark.yarn.appMasterEnv.MY_DATABASE", "mongodb://me:word@host/", True),
        ("spark.executorEnv.AWS_ACCESS_KEY_ID", "x", True),
        ("spark.executorEnv.BANNERMAP_PSEUDONYM_KEY", "x", True),
        ("spark.openlineage.transport.auth.apiKey", "x", True),
        ("sun.java.command", "org.apache.spark.deploy.SparkSubmit jobs/erase_user.py --user-ids u1", True),
        ("spark.app.name", "bannermap", False),
        ("spark.executorEnv.BANNERMAP_HOME", "/opt/bannermap", False),
        ("spark.master", "spark://host:7077", False),
    ],
)
def test_spark_hides_what_holds_a_secret_by_its_name_or_its_value(base_settings, name, value, hidden):
    pattern = our_settings(base_settings.spark, [])["spark.redaction.regex"]
    assert bool(re.search(pattern, name) or re.search(pattern, value)) == hidden
