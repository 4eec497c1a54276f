"""The subcommands of `bench`, a file a topic: words to calls; their bodies import what is heavy."""
