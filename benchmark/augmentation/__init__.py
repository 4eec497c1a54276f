"""Random augmentation of waveform windows: batched, on the device, per-example parameters, seeded.

Each augmentation is a function of a batch and of one parameter an example, in a module of its own kind, beside the step
(`base.Augmentation`) that draws the parameters and applies the function. `config` says what a recipe must say of each;
`AugmentationChain` does what a recipe lists, in its order. Nothing is random but the drawing, so every augmentation
can be checked against its definition.
"""
