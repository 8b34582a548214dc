"""Files that are made from the models: CRDs and reference pages."""
