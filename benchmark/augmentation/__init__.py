"""Random augmentation of waveform windows: batched, on the device, per-example parameters, seeded.

Each augmentation is a function of a batch and of one parameter an example, in a module of its own kind; what is
drawn is described by `AugmentationConfig`, drawn in `draws`, and applied in the published order by
`AugmentationChain`. Nothing is random but the drawing (and the samples of added noise), so every augmentation can
be checked against its definition.
"""
