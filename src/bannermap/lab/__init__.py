"""The strategy lab: which clustering, how many clusters, and how sure that is.

Pure modules hold the measures (`separation`, `density`, `sizes`, `advertisers`, `chance`), the gates (`gates`), the choice
(`recommending`) and the models that give new vectors a cluster (`models`); `strategies` fits them.
"""
