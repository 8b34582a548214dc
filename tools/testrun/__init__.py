"""`make test`: a cluster, the images, every test, and the cluster gone again."""
