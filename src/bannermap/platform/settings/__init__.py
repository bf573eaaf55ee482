"""The configuration as frozen models: every key with its range. `conf/base.yaml` gives each key its value and reason."""

from bannermap.platform.settings.analytics import AnalyticsSettings, OcrSettings
from bannermap.platform.settings.claims import ClaimSettings
from bannermap.platform.settings.common import LEAST_KEY_CHARACTERS
from bannermap.platform.settings.experiment import BoostingSettings, ExperimentSettings, GridSet, GridSettings, LogisticSettings
from bannermap.platform.settings.features import FeatureSetSettings, FeatureSettings, GateSettings
from bannermap.platform.settings.images import DecodeSettings, EncoderLink, EncoderSettings, FetchSettings, RemoteSettings
from bannermap.platform.settings.lab import CompositeSettings, LabGateSettings, LabSettings, LabTrainSettings
from bannermap.platform.settings.monitoring import MonitoringSettings
from bannermap.platform.settings.publish import PublishSettings
from bannermap.platform.settings.retention import RetentionSettings
from bannermap.platform.settings.training import TrainingSettings
from bannermap.platform.settings.whole import (
    AdaptiveSettings,
    AssignmentSettings,
    AuditSettings,
    CellSettings,
    ClusteringSettings,
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
    "AnalyticsSettings",
    "AssignmentSettings",
    "AuditSettings",
    "BoostingSettings",
    "CellSettings",
    "ClaimSettings",
    "ClusteringSettings",
    "CompositeSettings",
    "DecodeSettings",
    "EncoderLink",
    "EncoderSettings",
    "ExperimentSettings",
    "FeatureSetSettings",
    "FeatureSettings",
    "FetchSettings",
    "GateSettings",
    "GridSet",
    "GridSettings",
    "LabGateSettings",
    "LabSettings",
    "LabTrainSettings",
    "LogisticSettings",
    "MonitoringSettings",
    "OcrSettings",
    "Paths",
    "PublishSettings",
    "RegistrySettings",
    "RemoteSettings",
    "ReportSettings",
    "RetentionSettings",
    "SampleSettings",
    "Settings",
    "SparkSettings",
    "TrainingSettings",
]
