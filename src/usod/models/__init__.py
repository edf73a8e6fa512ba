"""Networks: a backbone (`build_backbone`) and a head make a `SaliencyNet` (`build_network`).

The modules are imported one by one (`from usod.models.build import build_network`), so that reading a
configuration (`usod.models.config`) never waits for torch.
"""
