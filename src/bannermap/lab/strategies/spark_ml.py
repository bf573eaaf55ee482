"""Strategies of Spark ML. Vectors go to Spark for the fit; what it learned comes back as arrays, and the rule needs no Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bannermap.lab.rules import Gaussians, NearestCentre, NearestPicture, Topics, non_negative_codes
from bannermap.lab.separation import unit_rows
from bannermap.lab.strategies.interface import Fitted, Parameters, Strategy, Tools
from bannermap.lab.strategies.parameters import Clusters
from bannermap.lab.strategies.torch_kmeans import fit_on_device
from bannermap.platform.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

KMEANS_ROUNDS, MIXTURE_ROUNDS, TOPIC_ROUNDS, POWER_ROUNDS = 30, 50, 20, 20
ROWS_PER_PARTITION = 5000
MIXTURE_DIMENSIONS = 16
"""Spark's mixture fails at 384 dimensions and works up to 64; a covariance wants many rows for each of its entries."""


def fit_kmeans(vectors: np.ndarray, parameters: Parameters, seed: int, tools: Tools) -> Fitted:
    """k-means by cosine (Spark's k-means||, Bahmani et al. 2012).

    Args:
        vectors: float32 (n, d), unit rows.
        parameters: clusters.
        seed: of the first centres.
        tools: has the session; with a device of torch the fit is made there, and no session is needed.
    """
    if tools.device:
        return fit_on_device(vectors, _clusters(parameters, vectors), seed, tools.device)
    from pyspark.ml.clustering import KMeans

    kmeans = KMeans(k=_clusters(parameters, vectors), distanceMeasure="cosine", maxIter=KMEANS_ROUNDS, seed=seed)
    with _Features(vectors, tools) as rows:
        model = kmeans.fit(rows.frame)
        labels = rows.labels(model.transform(rows.frame), "prediction")
    return Fitted(labels, NearestCentre(_unit_centres(model)))


def fit_bisecting(vectors: np.ndarray, parameters: Parameters, seed: int, tools: Tools) -> Fitted:
    """Bisecting k-means by cosine (Steinbach et al. 2000): the largest group is halved until there are enough.

    Labels are the nearest of the final centres, for fitted and new rows alike. Spark itself walks down its tree of halvings,
    which ends elsewhere for a few rows near a border, and keeps the tree to itself.

    Args:
        vectors: float32 (n, d), unit rows.
        parameters: clusters.
        seed: of the halvings.
        tools: has the session.
    """
    from pyspark.ml.clustering import BisectingKMeans

    halving = BisectingKMeans(k=_clusters(parameters, vectors), distanceMeasure="cosine", maxIter=KMEANS_ROUNDS, seed=seed)
    with _Features(vectors, tools) as rows:
        rule = NearestCentre(_unit_centres(halving.fit(rows.frame)))
    return Fitted(rule.predict(vectors), rule)


def fit_mixture(vectors: np.ndarray, parameters: Parameters, seed: int, tools: Tools) -> Fitted:
    """Mixture of normal distributions with full covariances, by expectation maximisation.

    Args:
        vectors: float32 (n, d), d at most `MIXTURE_DIMENSIONS`.
        parameters: clusters.
        seed: of the first means.
        tools: has the session.
    """
    from pyspark.ml.clustering import GaussianMixture

    with _Features(vectors, tools) as rows:
        model = GaussianMixture(k=_clusters(parameters, vectors), maxIter=MIXTURE_ROUNDS, seed=seed).fit(rows.frame)
        labels = rows.labels(model.transform(rows.frame), "prediction")
        parts = model.gaussiansDF.collect()
    means, covariances = np.array([p["mean"].toArray() for p in parts]), np.array([p["cov"].toArray() for p in parts])
    return Fitted(labels, Gaussians.of(np.array(model.weights), means, covariances))


def fit_topics(vectors: np.ndarray, parameters: Parameters, seed: int, tools: Tools) -> Fitted:
    """Latent Dirichlet allocation on non-negative codes; it is meant for counts of words.

    Topics are Spark's. Shares of topics in a row are inferred here, from a fixed start: Spark starts each row at random, and a
    row would change its label with its neighbours in a batch.

    Args:
        vectors: float32 (n, d).
        parameters: clusters.
        seed: of the first topics.
        tools: has the session.
    """
    from pyspark.ml.clustering import LDA

    with _Features(non_negative_codes(vectors), tools) as rows:
        model = LDA(k=_clusters(parameters, vectors), maxIter=TOPIC_ROUNDS, seed=seed).fit(rows.frame)
        topics = model.topicsMatrix().toArray().T
        concentration = model.estimatedDocConcentration().toArray()
    rule = Topics(topics / topics.sum(axis=1, keepdims=True), concentration)
    return Fitted(rule.predict(vectors), rule)


def fit_power(vectors: np.ndarray, parameters: Parameters, seed: int, tools: Tools) -> Fitted:
    """Power iteration clustering (Lin and Cohen 2010) of the neighbour graph, weighted by cosine.

    It places nothing that was not in its graph, so a new picture takes what the most similar fitted one has. Pictures without a
    neighbour of positive cosine are outliers.

    Args:
        vectors: float32 (n, d), unit rows.
        parameters: clusters.
        seed: Spark takes none here: its start is that of the graph's degrees.
        tools: has the session and the search.
    """
    from pyspark.ml.clustering import PowerIterationClustering

    src, dst, cosine = tools.neighbours(vectors, tools.clustering)
    ends = np.sort(np.stack([src, dst], axis=1)[cosine > 0], axis=1)
    pairs, first = np.unique(ends, axis=0, return_index=True)
    labels = np.full(len(vectors), -1, np.int64)
    if len(pairs):
        weights = cosine[cosine > 0][first].astype(np.float64)
        edges = _frame(tools, {"src": pairs[:, 0], "dst": pairs[:, 1], "weight": weights}, order="src")
        power = PowerIterationClustering(
            k=_clusters(parameters, vectors), maxIter=POWER_ROUNDS, weightCol="weight", initMode="degree"
        )
        found = power.assignClusters(edges).toArrow()
        labels[found["id"].to_numpy()] = found["cluster"].to_numpy()
    return Fitted(labels, NearestPicture(vectors, labels, np.full(len(vectors), -1.0, np.float32)))


class _Features:
    """Vectors as a frame of row and features, held while a fit goes over them."""

    def __init__(self, vectors: np.ndarray, tools: Tools) -> None:
        from pyspark.ml.functions import array_to_vector
        from pyspark.sql import functions as F

        plain = _frame(tools, {"row": np.arange(len(vectors))}, vectors, order="row")
        self.frame: DataFrame = plain.select("row", array_to_vector(F.col("vector")).alias("features")).persist()
        self.count = len(vectors)

    def __enter__(self) -> _Features:
        return self

    def __exit__(self, *error: object) -> None:
        self.frame.unpersist()

    def labels(self, predicted: DataFrame, column: str) -> np.ndarray:
        """int64 (n,), a column of predictions in the order of the rows."""
        found = predicted.select("row", column).toArrow()
        result = np.empty(self.count, np.int64)
        result[found["row"].to_numpy()] = found[column].to_numpy()
        return result


def _frame(tools: Tools, columns: dict[str, np.ndarray], vectors: np.ndarray | None = None, *, order: str) -> DataFrame:
    """Rows in partitions that follow from their number alone: Spark ML draws, and adds up, partition by partition, so a fit
    would depend on how many cores there are."""
    import pyarrow as pa

    from bannermap.lab.arrow_vectors import lists_of

    if tools.spark is None:
        raise InputError("This strategy is Spark's, and there is no session here. Ask for it with compare_strategies.")
    arrays: dict[str, Any] = {name: pa.array(values) for name, values in columns.items()}
    if vectors is not None:
        arrays["vector"] = lists_of(vectors)
    table = pa.table(arrays)
    parts = -(-len(table) // ROWS_PER_PARTITION)
    return tools.spark.createDataFrame(table).repartition(max(parts, 1), order).sortWithinPartitions(*columns)


def _clusters(parameters: Parameters, vectors: np.ndarray) -> int:
    """Spark asks for at least 2."""
    return max(2, min(int(parameters["clusters"]), len(vectors)))


def _unit_centres(model: Any) -> np.ndarray:
    return unit_rows(np.array(model.clusterCenters())).astype(np.float32)


CENTRE = "A new picture joins the centre of the greatest cosine."
STRATEGIES = (
    Strategy("kmeans", f"Centres that are the means of the pictures nearest to them. {CENTRE}", fit_kmeans, Clusters),
    Strategy("bisecting_kmeans", f"The largest group is halved until there are enough. {CENTRE}", fit_bisecting, Clusters),
    Strategy(
        "gmm",
        "Normal distributions in a few principal components. A new picture joins the one of the greatest weighted density.",
        fit_mixture,
        Clusters,
        max_dimensions=MIXTURE_DIMENSIONS,
        rows_per_dimension=10,
        unit=False,
    ),
    Strategy(
        "lda",
        "Topics of positive and negative parts; meant for words, and here for comparison. A new picture joins the topic that "
        "has the greatest share in it.",
        fit_topics,
        Clusters,
    ),
    Strategy(
        "pic",
        "A one-dimensional embedding of the neighbour graph by power iteration, cut by k-means. A new picture takes what the "
        "most similar fitted one has.",
        fit_power,
        Clusters,
        growth=2.0,
        by_clustering=True,
    ),
)
