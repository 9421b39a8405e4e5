"""The edge towards stores: delivery and the stores themselves."""
