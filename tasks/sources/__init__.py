"""What a dataset says of its clips beside the labels of its tasks, as sources to learn representations from.

A source of labels is numbers, one a clip (`Scalars`), or terms with their weights (`Terms`): words, tags, listeners,
genres. Whatever it is, it is reduced to a distribution over K factors for every clip (`reduction`), by a mixture of
Gaussians (`mixture`) or by probabilistic latent semantic analysis (`plsa`).

Source: J. Kim, J. Urbano, C. C. S. Liem, A. Hanjalic: One deep music representation to rule them all? A comparative
analysis of different representation learning strategies. Neural Computing and Applications 32, 2020, sections 2.2-2.3.
"""
