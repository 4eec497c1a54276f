"""Names of files in artifacts that other steps than the one that writes them read."""

#: Weights of an encoder, by any step that initialises or trains one.
WEIGHTS = "encoder.safetensors"
#: The linear head of a supervised training, beside its encoder's weights: `weight` [L, dim] and `bias` [L].
HEAD = "head.safetensors"
#: The heads of a training on several sources, by source: of factors `tag.0.weight` [K, width] and `tag.0.bias` [K].
HEADS = "heads.safetensors"
#: Clips that a training has seen, as lines of `PcmClip`.
CORPUS = "corpus.jsonl"
#: Labels and split of a task.
LABELS = "labels.npz"
#: What is known of a task's test clips, as lines of `PcmClip`.
TEST_CLIPS = "test-clips.jsonl"
#: Predictions of a probe for the test clips [repeats, test clips, outputs].
PREDICTED = "predicted.npz"
#: What was chosen on the validation clips, and the value of every configuration there.
SELECTION = "selection.json"
#: What a source of labels says of a corpus: its factors, and which clips it says anything of.
SOURCE = "source.npz"
#: What each of those factors stands for.
FACTORS = "factors.json"
