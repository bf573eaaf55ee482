"""The configuration as frozen models: every key with its range. `conf/base.yaml` gives each key its value and reason."""

from bannermap.platform.settings.common import LEAST_KEY_CHARACTERS
from bannermap.platform.settings.images import DecodeSettings, EncoderLink, EncoderSettings, FetchSettings, RemoteSettings
from bannermap.platform.settings.training import TrainingSettings
from bannermap.platform.settings.whole import (
    AdaptiveSettings,
    AssignmentSettings,
    AuditSettings,
    CellSettings,
    ClusteringSettings,
    FeatureSettings,
    Paths,
    RegistrySettings,
    ReportSettings,
    SampleSettings,
    Settings,
    SparkSettings,
)

__all__ = [
    "LEAST_KEY_CHARACTERS",
    "AdaptiveSettings",
    "AssignmentSettings",
    "AuditSettings",
    "CellSettings",
    "ClusteringSettings",
    "DecodeSettings",
    "EncoderLink",
    "EncoderSettings",
    "FeatureSettings",
    "FetchSettings",
    "Paths",
    "RegistrySettings",
    "RemoteSettings",
    "ReportSettings",
    "SampleSettings",
    "Settings",
    "SparkSettings",
    "TrainingSettings",
]
