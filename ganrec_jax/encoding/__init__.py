"""Texts to vectors: tokenizer, pretrained weights, pretraining, adaptation, whitening."""
