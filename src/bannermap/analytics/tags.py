"""What a word is worth for telling one cluster from the others: class-based TF-IDF."""

from __future__ import annotations

import numpy as np


def class_tf_idf(in_class: np.ndarray, class_words: np.ndarray, in_all: np.ndarray, words_per_class: float) -> np.ndarray:
    """Class-based TF-IDF of words in classes: tf * log(1 + A / f), with tf as a share of the class's words.

    A word that every class has is worth next to nothing, whatever its language: f is then about A times the number of classes
    times its share. Source: Grootendorst 2022, "BERTopic: Neural topic modeling with a class-based TF-IDF procedure",
    arXiv 2203.05794, section 3.3; tf as a share of the class, as its implementation has it, so that classes of any size compare.

    Args:
        in_class: how often the word is in the class, more than 0.
        class_words: words of the class, counted as often as they occur; at least ``in_class``.
        in_all: how often the word is in all classes (f); at least ``in_class``.
        words_per_class: words of all classes over the number of classes (A).

    Returns:
        float64, more than 0.
    """
    return in_class / class_words * np.log1p(words_per_class / in_all)


def word_lift(in_class: np.ndarray, class_words: np.ndarray, in_all: np.ndarray, all_words: float) -> np.ndarray:
    """Share of the class's words that a word is, over its share of all words; 1 where the class is like all others.

    Args:
        in_class: see `class_tf_idf`.
        class_words: see `class_tf_idf`.
        in_all: see `class_tf_idf`.
        all_words: words of all classes.
    """
    return (in_class / class_words) / (in_all / all_words)
