"""Measures against given classes that chance does not move: AMI and ARI, with homogeneity, completeness and V beside them.

AMI and ARI are 0 on average for random labels, whatever the number of clusters. V is not corrected: it rises with the number of
clusters. An outlier counts as a cluster of its own in all of them. The figures are scikit-learn's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.lab.labels import outliers_alone


@dataclass(frozen=True)
class AgainstClasses:
    """Agreement of a clustering with classes.

    Attributes:
        ami: adjusted mutual information (Vinh et al. 2010), arithmetic mean; 1 for equal partitions, 0 on average by chance.
        ari: adjusted Rand index (Hubert and Arabie 1985); likewise.
        homogeneity: 1 - H(class | cluster) / H(class), 0 to 1.
        completeness: 1 - H(cluster | class) / H(cluster), 0 to 1.
        v_measure: harmonic mean of the two before (Rosenberg and Hirschberg 2007).
    """

    ami: float
    ari: float
    homogeneity: float
    completeness: float
    v_measure: float


def against_classes(labels: np.ndarray, classes: np.ndarray) -> AgainstClasses:
    """All five.

    Args:
        labels: int (n,).
        classes: (n,), any values.
    """
    from sklearn import metrics

    given = outliers_alone(labels)
    parts = metrics.homogeneity_completeness_v_measure(classes, given)
    ami, ari = metrics.adjusted_mutual_info_score(classes, given), adjusted_rand(labels, classes)
    return AgainstClasses(float(ami), ari, *(float(p) for p in parts))


def adjusted_rand(labels: np.ndarray, classes: np.ndarray) -> float:
    """ARI alone; both sides may be clusterings, and outliers of either are alone.

    Args:
        labels: int (n,).
        classes: (n,); where these are integers, those below 0 are outliers.
    """
    from sklearn.metrics import adjusted_rand_score

    other = np.asarray(classes)
    return float(adjusted_rand_score(outliers_alone(other) if other.dtype.kind == "i" else other, outliers_alone(labels)))
