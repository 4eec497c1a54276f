"""Steps of a plan computed: in this process, by workers on this machine or of a cluster, again after a death."""
