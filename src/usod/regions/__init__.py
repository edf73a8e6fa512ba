"""Superpixels, and what is measured of them: shared by the handcrafted detectors and the CRF on superpixels."""
