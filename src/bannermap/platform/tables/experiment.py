"""Tables of the offline experiment."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table

_COMPARED = {
    "experiment_id": "string: day and a hash of the settings of the experiment",
    "dt": "date: last day of impressions; nothing later was read",
    "model": "string: logistic or gradient_boosting",
    "variant": "string: features; placebo (other users' of the same day); future (with the impression's own day: what a leak "
    "looks like); shuffled_future (those, of other users)",
    "slice_kind": "string: all, day, app_id, campaign_id or placement_id",
    "slice_value": "string: which",
}
_KEY = ("experiment_id", "model", "variant", "slice_kind", "slice_value")
EXPERIMENT_RESULTS = Table(
    name="experiment_results",
    about="Each metric of a model with features, of the same model without, and the difference; definitions: experiment.md.",
    columns={
        **_COMPARED,
        "metric": "string: log_loss, rig_train_prior, rig_test_prior, auc, grouped_auc, calibration, expected_calibration_error "
        "or rank_score",
        "baseline": "double: without features; null where not defined, as AUC with one class",
        "value": "double: with features",
        "difference": "double: value - baseline",
        "low": "double: of the 95 % interval of the difference, by resampled users",
        "high": "double: of the 95 % interval",
        "standard_error": "double: of the difference",
    },
    key=(*_KEY, "metric"),
    partition_by=("experiment_id",),
)
EXPERIMENT_VERDICTS = Table(
    name="experiment_verdicts",
    about="What the log loss says of each comparison, in words.",
    columns={
        **_COMPARED,
        "impressions": "bigint: test rows",
        "clicks": "bigint: of them",
        "users": "bigint: of them",
        "users_without_auc": "bigint: users with one class only, left out of grouped_auc",
        "verdict": "string: helps, hurts or can't tell",
        "p_value": "double: of no difference, two-sided, times the comparisons that are read together; null: not defined",
        "rows_for_observed": "double: impressions that would tell a difference as large as the one seen, with 80 % power",
        "rows_for_smallest": "double: the same for a gain of experiment.smallest_gain",
        "text": "string: a sentence",
    },
    key=_KEY,
    partition_by=("experiment_id",),
)
FILE_EXPERIMENT_RESULTS = EXPERIMENT_RESULTS.on_files("evaluate_features", "experiment_results")
FILE_EXPERIMENT_VERDICTS = EXPERIMENT_VERDICTS.on_files("evaluate_features", "experiment_verdicts")
